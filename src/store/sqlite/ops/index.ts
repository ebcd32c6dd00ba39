import type { Operations } from "../rpc.ts";
import { putArtifact } from "./artifacts.ts";
import { claim } from "./claim.ts";
import { check, saveProfiles } from "./fleet.ts";
import { cancel, submit } from "./jobs.ts";
import { accept, finish, release, started } from "./leases.ts";
import { append } from "./log.ts";
import { forget, shrink, sweep, tidy } from "./prune.ts";
import { closeSession, expire, extendSessions, openSession, reconcile, renew } from "./sessions.ts";

/** Everything that changes rows. */
export const writes = {
  accept,
  append,
  cancel,
  check,
  claim,
  closeSession,
  expire,
  extendSessions,
  finish,
  forget,
  openSession,
  putArtifact,
  reconcile,
  release,
  renew,
  saveProfiles,
  shrink,
  started,
  submit,
  sweep,
  tidy,
} satisfies Operations;

export type Writes = typeof writes;

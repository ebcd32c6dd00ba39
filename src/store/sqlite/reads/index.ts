import type { Operations } from "../rpc.ts";
import { artifacts, findArtifact, readArtifact } from "./artifacts.ts";
import { pools, profiles, workers } from "./fleet.ts";
import { get, inputs, list, spec } from "./jobs.ts";
import { locate, logEnd, readLog } from "./log.ts";

/** Everything that only reads rows. */
export const reads = {
  artifacts,
  findArtifact,
  get,
  inputs,
  list,
  locate,
  logEnd,
  pools,
  profiles,
  readArtifact,
  readLog,
  spec,
  workers,
} satisfies Operations;

export type Reads = typeof reads;

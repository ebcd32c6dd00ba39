import type { Operations } from "../rpc.ts";
import { artifacts, findArtifact, readArtifact } from "./artifacts.ts";
import { pools, profiles, workers } from "./fleet.ts";
import { get, inputs, list } from "./jobs.ts";
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
  workers,
} satisfies Operations;

export type Reads = typeof reads;

import type { Log } from "../../log.ts";
import type { Intervals } from "../../protocol/index.ts";
import type { Store } from "../../store/index.ts";
import type { Wake } from "../dispatch/wake.ts";
import type { LiveJobs } from "../live/live-jobs.ts";
import type { HubMetrics } from "../metrics.ts";
import type { Tasks } from "../tasks.ts";
import type { Offerer } from "../tunnel/offerer.ts";
import type { Neighbours } from "../neighbours/neighbours.ts";
import type { TunnelHub } from "../tunnel/tunnel-hub.ts";
import type { WorkerRegistry } from "./registry.ts";

/** What everything that talks to workers and connectors shares. */
export interface HubContext {
  readonly hubId: string;
  readonly intervals: Readonly<Intervals>;
  readonly store: Store;
  readonly live: LiveJobs;
  readonly registry: WorkerRegistry;
  readonly tunnel: TunnelHub;
  /** stand-alone connectors by id */
  readonly connectors: Map<string, Offerer>;
  /** other hubs on the same store */
  readonly neighbours: Neighbours;
  readonly wake: Wake;
  readonly metrics: HubMetrics;
  readonly tasks: Tasks;
  readonly log: Log;
}

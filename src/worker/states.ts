import { SallyportError } from "../errors.ts";

/**
 * `idle`: made, not run · `connecting`: no live channel · `ready`: welcomed, takes offers · `draining`: finishes what it holds,
 * with or without a channel · `stopped`: holds nothing, for good.
 */
export const workerStates = ["idle", "connecting", "ready", "draining", "stopped"] as const;
export type WorkerState = (typeof workerStates)[number];

const following: Record<WorkerState, readonly WorkerState[]> = {
  idle: ["connecting", "draining", "stopped"],
  connecting: ["ready", "draining", "stopped"],
  ready: ["connecting", "draining", "stopped"],
  draining: ["stopped"],
  stopped: [],
};

/** Throws `internal` for a step the table does not have. */
export function step(from: WorkerState, to: WorkerState): WorkerState {
  if (!following[from].includes(to))
    throw new SallyportError("internal", `a worker cannot go from ${from} to ${to}`);
  return to;
}

/** How a lease is told to stop, and the ordered log of what we did that the verdict is read from. */
import { maxTimerMs } from "../async/index.ts";
import { SallyportError } from "../errors.ts";

/**
 * `cancelled`, `timeout`: asked for by a client or the clock · `output_limit`: printed too much ·
 * `input_lost`: the rest of its standard input will not come · `superseded`: the lease is
 * another's by now · `cut_off`: the hub was away too long · `shutting_down`: this worker is aborted.
 */
export type StopReason =
  "cancelled" | "timeout" | "output_limit" | "input_lost" | "superseded" | "cut_off" | "shutting_down";

/** `exit_seen` marks where the command's own end was observed among what we did. */
export type Action = StopReason | "exit_seen";

/** With these nobody waits for the command's output or files any more. */
const dropping: readonly StopReason[] = ["superseded", "cut_off", "shutting_down"];

/**
 * The first request gives the reason; a later one can only bring the kill forward. `soft` fires with the first request, `hard`
 * once the shortest grace asked for is over, `dropped` when what the command leaves is of no use.
 */
export class StopOrder implements Disposable {
  readonly #soft = new AbortController();
  readonly #hard = new AbortController();
  readonly #dropped = new AbortController();
  readonly #actions: Action[] = [];
  #killAt = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  get soft(): AbortSignal {
    return this.#soft.signal;
  }

  get hard(): AbortSignal {
    return this.#hard.signal;
  }

  get dropped(): AbortSignal {
    return this.#dropped.signal;
  }

  get actions(): readonly Action[] {
    return this.#actions;
  }

  /** Returns what the work that waits is told. */
  request(reason: StopReason, graceMs: number): SallyportError {
    if (!this.#actions.includes(reason)) this.#actions.push(reason);
    const error = stopError(reason);
    const killAt = performance.now() + graceMs;
    if (killAt < this.#killAt) {
      this.#killAt = killAt;
      clearTimeout(this.#timer);
      if (graceMs > 0) this.#timer = setTimeout(() => this.#hard.abort(error), Math.min(graceMs, maxTimerMs));
    }
    if (dropping.includes(reason)) this.#dropped.abort(error);
    if (graceMs <= 0) this.#hard.abort(error);
    this.#soft.abort(error);
    return error;
  }

  exitSeen(): void {
    this.#actions.push("exit_seen");
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/** The coded error a stopped piece of work ends with. */
export function stopError(reason: StopReason): SallyportError {
  switch (reason) {
    case "cancelled":
      return new SallyportError("cancelled", "the job was cancelled");
    case "timeout":
      return new SallyportError("deadline_exceeded", "the job's time was over");
    case "output_limit":
      return new SallyportError("cancelled", "the job printed more than its limit");
    case "input_lost":
      return new SallyportError("channel_closed", "the rest of the job's standard input did not come");
    case "superseded":
      return new SallyportError("lease_superseded", "the lease belongs to another attempt");
    case "cut_off":
      return new SallyportError(
        "hub_unreachable",
        "the worker was cut off from the hub too long and stopped its sandboxes",
      );
    case "shutting_down":
      return new SallyportError("shutting_down", "the worker was aborted");
  }
}

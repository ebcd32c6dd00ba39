/** Outcomes of trials on an engine: each is made once and remembered, also when calls for it come at once. */
import { isError, type ErrorCode } from "../../errors.ts";

/** How long a trial that decided against something counts, in `ms`: what was missing may be there by then */
export const refusalMs = 60_000;

export class Verdicts {
  readonly #verdict: ErrorCode;
  readonly #outcomes = new Map<string, Promise<void>>();

  /** A trial that fails with `verdict` has decided, for a while; any other failure says nothing, and the next call tries anew. */
  constructor(verdict: ErrorCode) {
    this.#verdict = verdict;
  }

  async of(key: string, trial: () => Promise<void>): Promise<void> {
    await (this.#outcomes.get(key) ?? this.#try(key, trial));
  }

  #try(key: string, trial: () => Promise<void>): Promise<void> {
    const outcome = trial();
    this.#outcomes.set(key, outcome);
    outcome.catch((error: unknown) => {
      const forget = (): void => void this.#outcomes.delete(key);
      if (isError(error, this.#verdict)) setTimeout(forget, refusalMs).unref();
      else forget();
    });
    return outcome;
  }
}

/** Failures of a trial that say nothing about what was tried */
const inconclusive: readonly ErrorCode[] = [
  "engine_unavailable",
  "image_unavailable",
  "cancelled",
  "shutting_down",
  "internal",
];

/** Whether a failed trial tells nothing about what was tried. */
export function saysNothing(error: unknown): boolean {
  return isError(error, ...inconclusive);
}

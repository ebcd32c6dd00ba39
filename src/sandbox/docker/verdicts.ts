/** Outcomes of trials on an engine: each is made once and remembered, also when calls for it come at once. */
import { isError, type ErrorCode } from "../../errors.ts";

export class Verdicts {
  readonly #verdict: ErrorCode;
  readonly #outcomes = new Map<string, Promise<void>>();

  /** A trial that fails with `verdict` has decided; any other failure says nothing, and the next call tries anew. */
  constructor(verdict: ErrorCode) {
    this.#verdict = verdict;
  }

  async of(key: string, trial: () => Promise<void>): Promise<void> {
    let outcome = this.#outcomes.get(key);
    if (outcome === undefined) {
      outcome = trial();
      this.#outcomes.set(key, outcome);
    }
    try {
      await outcome;
    } catch (error) {
      if (!isError(error, this.#verdict)) this.#outcomes.delete(key);
      throw error;
    }
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

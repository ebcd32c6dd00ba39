/** Which engine runtimes really start a container: being listed proves nothing. */
import { isError, SallyportError, type ErrorCode } from "../../errors.ts";
import type { Engine } from "./engine.ts";

/** Starts one sandbox with the runtime; rejects with what went wrong. */
export type Trial = (runtime: string) => Promise<void>;

/** Failures of the trial that say nothing about the runtime */
const inconclusive: readonly ErrorCode[] = ["engine_unavailable", "image_unavailable", "internal"];

export class Runtimes {
  readonly #engine: Pick<Engine, "readFacts">;
  readonly #trial: Trial;
  readonly #outcomes = new Map<string, Promise<void>>();

  constructor(deps: { engine: Pick<Engine, "readFacts">; trial: Trial }) {
    this.#engine = deps.engine;
    this.#trial = deps.trial;
  }

  /** Throws `runtime_unavailable` with the reason; the outcome of the one trial is remembered. */
  async ensure(runtime: string): Promise<void> {
    let outcome = this.#outcomes.get(runtime);
    if (outcome === undefined) {
      outcome = this.#try(runtime);
      this.#outcomes.set(runtime, outcome);
    }
    try {
      await outcome;
    } catch (error) {
      // an engine that did not answer says nothing about the runtime
      if (!isError(error, "runtime_unavailable")) this.#outcomes.delete(runtime);
      throw error;
    }
  }

  async #try(runtime: string): Promise<void> {
    const { runtimes } = await this.#engine.readFacts();
    if (!runtimes.includes(runtime)) {
      throw unavailable(runtime, `the engine does not list it (it lists ${runtimes.join(", ")})`);
    }
    try {
      await this.#trial(runtime);
    } catch (error) {
      const failure = SallyportError.from(error);
      if (inconclusive.includes(failure.code)) throw failure;
      const { reason } = failure.details;
      throw unavailable(runtime, typeof reason === "string" ? reason : failure.message, error);
    }
  }
}

function unavailable(runtime: string, reason: string, cause?: unknown): SallyportError {
  return new SallyportError("runtime_unavailable", `runtime ${runtime}: ${reason}`, {
    details: {
      runtime,
      reason,
      fix: `install ${runtime} and register it with the engine, or name another runtime`,
    },
    cause,
  });
}

/** Which engine runtimes really start a container: being listed proves nothing. */
import { SallyportError } from "../../errors.ts";
import type { Profile } from "../profile/index.ts";
import type { Engine } from "./engine.ts";
import { saysNothing, Verdicts } from "./verdicts.ts";

type Runtime = Profile["runtime"];

/** Starts one sandbox with the runtime; rejects with what went wrong. */
export type Trial = (runtime: Runtime) => Promise<void>;

export class Runtimes {
  readonly #engine: Pick<Engine, "readFacts">;
  readonly #trial: Trial;
  readonly #verdicts = new Verdicts("runtime_unavailable");

  constructor(deps: { engine: Pick<Engine, "readFacts">; trial: Trial }) {
    this.#engine = deps.engine;
    this.#trial = deps.trial;
  }

  /** Throws `runtime_unavailable` with the reason. The outcome of the one trial is remembered; a refusal for a while. */
  async ensure(runtime: Runtime): Promise<void> {
    await this.#verdicts.of(runtime, () => this.#try(runtime));
  }

  async #try(runtime: Runtime): Promise<void> {
    const { runtimes } = await this.#engine.readFacts();
    if (!runtimes.includes(runtime)) {
      throw unavailable(runtime, `the engine does not list it (it lists ${runtimes.join(", ")})`);
    }
    try {
      await this.#trial(runtime);
    } catch (error) {
      const failure = SallyportError.from(error);
      if (saysNothing(failure)) throw failure;
      const { reason } = failure.details;
      throw unavailable(runtime, typeof reason === "string" ? reason : failure.message, error);
    }
  }
}

function unavailable(runtime: Runtime, reason: string, cause?: unknown): SallyportError {
  return new SallyportError("runtime_unavailable", `runtime ${runtime}: ${reason}`, {
    details: {
      runtime,
      reason,
      fix: `install ${runtime} and register it with the engine, or name another runtime`,
    },
    cause,
  });
}

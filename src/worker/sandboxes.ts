/** Where a job gets its sandbox from, and how it is got rid of. */
import { withDeadline } from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Driver, Profile, Sandbox, SandboxSpec } from "../sandbox/index.ts";

/** A sandbox one lease owns; disposing it removes the sandbox and never throws. */
export interface HeldSandbox extends AsyncDisposable {
  readonly sandbox: Sandbox;
  /** It was made before it was asked for */
  readonly warm: boolean;
}

export interface SandboxSource {
  /** Throws what the driver's `create` throws, or the signal's reason; nothing is left behind then. */
  acquire(
    profile: Profile,
    lease: string,
    hosts: readonly string[],
    signal: AbortSignal,
  ): Promise<HeldSandbox>;
}

export interface ColdSandboxesDeps {
  driver: Driver;
  log: Log;
  /** Told when the driver could not make one */
  failed: (profile: Profile, error: SallyportError) => void;
}

/** Makes every sandbox when it is asked for. */
export class ColdSandboxes implements SandboxSource {
  readonly #deps: ColdSandboxesDeps;
  readonly #cleanUpMs: number;

  constructor(deps: ColdSandboxesDeps, options: { cleanUpMs: number }) {
    this.#deps = deps;
    this.#cleanUpMs = options.cleanUpMs;
  }

  async acquire(
    profile: Profile,
    lease: string,
    hosts: readonly string[],
    signal: AbortSignal,
  ): Promise<HeldSandbox> {
    const sandbox = await this.#create({ profile, lease, hosts }, signal);
    return { sandbox, warm: false, [Symbol.asyncDispose]: () => this.#remove(sandbox) };
  }

  async #create(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox> {
    try {
      return await this.#deps.driver.create(spec, signal);
    } catch (error) {
      if (!signal.aborted) this.#deps.failed(spec.profile, SallyportError.from(error));
      throw error;
    }
  }

  /** Clean-up has its own bound, whatever became of the job; what outlives it is the reaper's. */
  async #remove(sandbox: Sandbox): Promise<void> {
    try {
      await withDeadline(
        Promise.resolve(sandbox[Symbol.asyncDispose]()),
        this.#cleanUpMs,
        "removing a sandbox",
      );
    } catch (error) {
      this.#deps.log.warn({ err: error, sandboxId: sandbox.id }, "sandbox could not be removed");
    }
  }
}

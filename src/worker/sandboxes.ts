/** Where a job gets its sandbox from, and how it is got rid of. */
import { withDeadline } from "../async/index.ts";
import type { Log } from "../log.ts";
import type { Driver, Profile, Sandbox } from "../sandbox/index.ts";

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

/** Makes every sandbox when it is asked for. */
export class ColdSandboxes implements SandboxSource {
  readonly #deps: { driver: Driver; log: Log };
  readonly #cleanUpMs: number;

  constructor(deps: { driver: Driver; log: Log }, options: { cleanUpMs: number }) {
    this.#deps = deps;
    this.#cleanUpMs = options.cleanUpMs;
  }

  async acquire(
    profile: Profile,
    lease: string,
    hosts: readonly string[],
    signal: AbortSignal,
  ): Promise<HeldSandbox> {
    const sandbox = await this.#deps.driver.create({ profile, lease, hosts }, signal);
    return { sandbox, warm: false, [Symbol.asyncDispose]: () => this.#remove(sandbox) };
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

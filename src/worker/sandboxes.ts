/** Where a job gets its sandbox from, and how it is got rid of. */
import PQueue from "p-queue";
import { abortable, withDeadline } from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Driver, LanguageName, Profile, Sandbox, SandboxSpec } from "../sandbox/index.ts";
import type { Calm } from "./calm.ts";
import { equip, outfitOf, type SandboxNetwork } from "./network.ts";
import type { Interpreter } from "./pool/interpreter.ts";
import type { Bound } from "./start-bound.ts";

/** A sandbox one lease owns; disposing it removes the sandbox and never throws. */
export interface HeldSandbox extends AsyncDisposable {
  readonly sandbox: Sandbox;
  /** It was made before it was asked for */
  readonly warm: boolean;
  /** Variables that its network wants, put before all others */
  readonly env: Readonly<Record<string, string>>;
  /** Interpreters that wait in it for a job */
  readonly interpreters: ReadonlyMap<LanguageName, Interpreter>;
}

export interface SandboxSource {
  /**
   * `hosts`: what has to resolve in it; more may. Throws what the driver's `create` throws, or the bound's reason; nothing is left behind then.
   * The bound stands still while it waits until others' sandboxes are made.
   */
  acquire(profile: Profile, lease: string, hosts: readonly string[], bound: Bound): Promise<HeldSandbox>;
}

export interface ColdSandboxesDeps {
  driver: Driver;
  network: SandboxNetwork | undefined;
  calm: Calm;
  log: Log;
  /** Told when the driver could not make one */
  failed: (profile: Profile, error: SallyportError) => void;
}

export interface ColdSandboxesOptions {
  /** for removing one, `ms` */
  cleanUpMs: number;
  /** Sandboxes made at once: an engine that is asked for hundreds together makes fewer a second than one that is asked for a few */
  concurrency: number;
}

/** Makes every sandbox when it is asked for, a few at a time in the order of asking. */
export class ColdSandboxes implements SandboxSource {
  readonly #deps: ColdSandboxesDeps;
  readonly #cleanUpMs: number;
  readonly #turns: PQueue;

  constructor(deps: ColdSandboxesDeps, options: ColdSandboxesOptions) {
    this.#deps = deps;
    this.#cleanUpMs = options.cleanUpMs;
    this.#turns = new PQueue({ concurrency: options.concurrency });
  }

  async acquire(
    profile: Profile,
    lease: string,
    hosts: readonly string[],
    bound: Bound,
  ): Promise<HeldSandbox> {
    const outfit = outfitOf(profile, this.#deps.network);
    const names = [...new Set([...outfit.hosts, ...hosts])];
    const sandbox = await this.#create({ profile, lease, hosts: names }, bound);
    const remove = (): Promise<void> => removeSandbox(sandbox, this.#deps, this.#cleanUpMs);
    try {
      await abortable(equip(sandbox.guest, outfit), bound.signal);
    } catch (error) {
      await remove();
      throw error;
    }
    const { env } = outfit;
    return { sandbox, env, warm: false, interpreters: new Map(), [Symbol.asyncDispose]: remove };
  }

  async #create(spec: SandboxSpec, bound: Bound): Promise<Sandbox> {
    const { signal } = bound;
    using waiting = new DisposableStack();
    waiting.use(bound.pause());
    waiting.use(this.#deps.calm.crowd());
    try {
      return await this.#turns.add(() => {
        waiting.dispose();
        signal.throwIfAborted();
        return this.#deps.driver.create(spec, signal);
      });
    } catch (error) {
      if (!signal.aborted) this.#deps.failed(spec.profile, SallyportError.from(error));
      throw error;
    }
  }
}

/** Clean-up has its own bound, whatever became of the job; what outlives it is the reaper's. Never rejects. */
export async function removeSandbox(sandbox: Sandbox, { log }: { log: Log }, boundMs: number): Promise<void> {
  try {
    await withDeadline(Promise.resolve(sandbox[Symbol.asyncDispose]()), boundMs, "removing a sandbox");
  } catch (error) {
    log.warn({ err: error, sandboxId: sandbox.id }, "sandbox could not be removed");
  }
}

import { SallyportError } from "../errors.ts";
import type { Log } from "../log.ts";

/** Work nobody waits for, but which its owner must see the end of. */
export class Tasks {
  readonly #log: Log;
  readonly #running = new Set<Promise<void>>();

  constructor(deps: { log: Log }) {
    this.#log = deps.log;
  }

  get size(): number {
    return this.#running.size;
  }

  /** Starts `work`; what it throws is logged under `what`. */
  start(what: string, work: () => Promise<unknown>): void {
    const task = this.#watch(what, work).finally(() => this.#running.delete(task));
    this.#running.add(task);
  }

  /** Resolves once everything started so far is over. */
  async settle(): Promise<void> {
    await Promise.all(this.#running);
  }

  async #watch(what: string, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const { code } = SallyportError.from(error);
      if (code === "internal") this.#log.error({ err: error, what }, "background work failed");
      else this.#log.warn({ code, err: error, what }, "background work failed");
    }
  }
}

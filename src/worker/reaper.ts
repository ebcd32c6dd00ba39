import { withDeadline } from "../async/index.ts";
import type { Log } from "../log.ts";
import type { Driver } from "../sandbox/index.ts";

export interface ReaperOptions {
  intervalMs: number;
  /** sandboxes younger than this many `ms` may still be in the making */
  graceMs: number;
  /** bound of one look */
  boundMs: number;
}

/** Removes sandboxes of this worker that nobody owns: those of an earlier life, and those whose removal failed. */
export class Reaper implements Disposable {
  readonly #deps: { driver: Driver; log: Log };
  readonly #options: ReaperOptions;
  #timer: NodeJS.Timeout | undefined;
  #disposed = false;

  constructor(deps: { driver: Driver; log: Log }, options: ReaperOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Resolves after the first look, before which this life has made no sandbox: all that is there is an earlier life's. */
  async start(): Promise<void> {
    await this.#reap(0);
    this.#schedule();
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    clearTimeout(this.#timer);
  }

  #schedule(): void {
    if (this.#disposed) return;
    this.#timer = setTimeout(() => {
      void this.#reap(this.#options.graceMs).then(() => this.#schedule());
    }, this.#options.intervalMs);
  }

  async #reap(graceMs: number): Promise<void> {
    const { driver, log } = this.#deps;
    try {
      const ids = await withDeadline(driver.reap(graceMs), this.#options.boundMs, "reaping sandboxes");
      if (ids.length > 0) log.warn({ sandboxes: ids }, "removed sandboxes nobody owned");
    } catch (error) {
      log.warn({ err: error }, "could not look for orphaned sandboxes");
    }
  }
}

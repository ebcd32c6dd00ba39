/**
 * Containers whose creation was asked for and never answered. The engine may still be making such a container after its
 * name was found absent, so it is looked for again, for as long as an engine may take to make one.
 */
import { Backoff, sleep, withDeadline } from "../../async/index.ts";
import type { Log } from "../../log.ts";
import type { Engine } from "./engine.ts";
import { tryRemoval } from "./remove.ts";

export interface UnansweredOptions {
  /** How long a lost creation may still come true, in `ms` */
  lateMs: number;
  /** How long disposal waits for what is still looked for, in `ms`; a later life's reaper finds the rest */
  lastMs: number;
}

export class Unanswered implements AsyncDisposable {
  readonly #deps: { engine: Engine; log: Log };
  readonly #options: UnansweredOptions;
  readonly #stop = new AbortController();
  readonly #watched = new Set<Promise<void>>();

  constructor(deps: { engine: Engine; log: Log }, options: UnansweredOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Removes the container of this name whenever it turns up. */
  watch(name: string): void {
    const watched = this.#removeLate(name).finally(() => this.#watched.delete(watched));
    this.#watched.add(watched);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { lastMs } = this.#options;
    const all = Promise.all(this.#watched);
    await withDeadline(all, lastMs, "unanswered creations").catch(() => undefined);
    this.#stop.abort();
    await Promise.all(this.#watched);
  }

  async #removeLate(name: string): Promise<void> {
    const { engine, log } = this.#deps;
    const until = performance.now() + this.#options.lateMs;
    const backoff = new Backoff({ baseMs: 200, capMs: 5_000 });
    while (performance.now() < until) {
      if ((await tryRemoval(engine, name)) === "removed") {
        log.info({ sandbox: name }, "removed a container that was made after its request was lost");
        return;
      }
      await sleep(50 + backoff.next(), this.#stop.signal).catch(() => undefined);
      if (this.#stop.signal.aborted) return;
    }
  }
}

import { deferred, withDeadline, type Deferred } from "../../src/async/index.ts";
import type { RoleHost } from "../../src/roles/index.ts";

/** One role in this process, with its signals in our hand. */
export class RunningRole {
  readonly ready: Deferred<Record<string, unknown>> = deferred();
  readonly over: Promise<number>;
  readonly #signals = new Set<(signal: string, count: number) => void>();
  readonly #hangups = new Set<() => void>();

  constructor(run: (host: RoleHost) => Promise<number>) {
    this.over = run({
      version: "0.0.0-test",
      announce: (line) => this.ready.resolve(line),
      watchSignals: (listener) => keep(this.#signals, listener),
      watchHangups: (listener) => keep(this.#hangups, listener),
    });
    this.over.catch((error: unknown) => this.ready.reject(error));
  }

  hangUp(): void {
    for (const listener of this.#hangups) listener();
  }

  async stop(): Promise<number> {
    for (const listener of this.#signals) listener("SIGTERM", 1);
    return await withDeadline(this.over, 15_000, "the role's end");
  }
}

function keep<T>(set: Set<T>, item: T): Disposable {
  set.add(item);
  return { [Symbol.dispose]: () => set.delete(item) };
}

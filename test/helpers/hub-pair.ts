/** Two hubs that share a database and their keys. */
import { openPostgresStore } from "../../src/store/index.ts";
import { TestHub } from "./hub.ts";
import type { PostgresServer } from "./postgres.ts";

export class HubPair implements AsyncDisposable {
  static #made = 0;
  a: TestHub;
  b: TestHub;
  readonly #start: (dir?: string) => Promise<TestHub>;
  readonly #hubs: TestHub[];

  private constructor(start: (dir?: string) => Promise<TestHub>, a: TestHub, b: TestHub) {
    this.a = a;
    this.b = b;
    this.#start = start;
    this.#hubs = [a, b];
  }

  /** Each pair has a schema of its own. */
  static async start(server: PostgresServer): Promise<HubPair> {
    HubPair.#made += 1;
    const schema = `pair_${HubPair.#made}`;
    const intervals = { heartbeatMs: 200, suspectMs: 2_000, leaseMs: 4_000 };
    const start = (dir?: string): Promise<TestHub> =>
      TestHub.start({
        openStore: (deps) => openPostgresStore(deps, { url: server.url, schema }),
        intervals,
        ...(dir !== undefined && { dir }),
      });
    await using held = new AsyncDisposableStack();
    const a = held.use(await start());
    const b = await start(a.dir);
    held.move();
    return new HubPair(start, a, b);
  }

  /** One more hub on the same database, which goes with the pair. */
  async another(): Promise<TestHub> {
    const hub = await this.#start(this.a.dir);
    this.#hubs.push(hub);
    return hub;
  }

  /** The folder is the first hub's, so it goes last. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const hub of this.#hubs.toReversed()) await hub[Symbol.asyncDispose]();
  }
}

/** The one PostgreSQL that hubs share, with a way of its own to it for every hub. */
import { join } from "node:path";
import { FaultProxy } from "../helpers/fault-proxy.ts";
import { PostgresServer } from "../helpers/postgres.ts";
import type { Recorder } from "./history.ts";

export class Database implements AsyncDisposable {
  readonly #server: PostgresServer;
  readonly #recorder: Recorder;
  /** taken up again by whoever needs it first: the end of a fault, or of the run */
  #booting: Promise<void> | undefined;
  #running = true;

  private constructor(server: PostgresServer, recorder: Recorder) {
    this.#server = server;
    this.#recorder = recorder;
  }

  /** `parent`: folder its own is made in */
  static async start(recorder: Recorder, parent: string): Promise<Database> {
    const database = new Database(await PostgresServer.start({ parent }), recorder);
    database.#note("started");
    return database;
  }

  /** A further way to it, which the caller disposes of; see `urlOver`. */
  way(): Promise<FaultProxy> {
    return FaultProxy.start(() => join(this.#server.dir, ".s.PGSQL.5432"));
  }

  async kill(): Promise<void> {
    if (!this.#running) return;
    this.#running = false;
    await this.#server.stop("SIGKILL");
    this.#note("ended");
  }

  /** Runs again, unless it does, or ended by itself: a disk that is full is its end as well. */
  async boot(): Promise<void> {
    if (this.#running && this.#server.running) return;
    this.#booting ??= this.#server.boot().finally(() => (this.#booting = undefined));
    await this.#booting;
    this.#running = true;
    this.#note("started");
  }

  /** Ends every connection, in the middle of whatever it does. */
  async cut(): Promise<void> {
    if (this.#running) await this.#server.terminate("sallyport%").catch(() => 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
  }

  #note(what: "started" | "ended"): void {
    this.#recorder.note({ type: "process", what, name: "database", pid: 0 });
  }
}

export function urlOver(way: FaultProxy): string {
  return `postgres://sallyport@${new URL(way.url).host}/postgres`;
}

import { Backoff, sleep } from "../../async/index.ts";
import type { Log } from "../../log.ts";
import type { Hint } from "../contract.ts";
import { noNews, type News } from "./news.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";
import { storeError } from "./errors.ts";
import { parseHint, payloadsOf } from "./hint-text.ts";
import { statement } from "./statement.ts";

/** news of this long, `ms`, goes out together: a notification takes a lock that all of the database's share */
const gatherMs = 50;

const tell = statement("tell", "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload");

export interface HintsOptions extends ConnectionOptions {
  /** this store's own, whose notifications it passes over */
  origin: string;
}

/**
 * Tells other hubs on the same database what changed, and hears them, on a connection of its own. A hint may be lost and changes
 * nothing: whoever listens also looks by itself from time to time.
 */
export class Hints implements AsyncDisposable {
  readonly #log: Log;
  readonly #options: HintsOptions;
  readonly #channel: string;
  readonly #listeners = new Set<(hint: Hint) => void>();
  readonly #stopped = new AbortController();
  readonly #running: Promise<void>;
  #connection: Connection | undefined;
  #hears = false;
  #news: News = noNews();
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: { log: Log }, options: HintsOptions) {
    this.#log = deps.log;
    this.#options = options;
    this.#channel = `sallyport ${options.schema}`.slice(0, 63);
    this.#running = this.#keepListening();
  }

  /** The first it hears, once others can be heard, is that it may have missed something. */
  listen(listener: (hint: Hint) => void): Disposable {
    this.#listeners.add(listener);
    if (this.#hears) listener({ kind: "missed" });
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** What was just committed; others hear of it within `gatherMs`. */
  tell(news: News): void {
    if (news.jobs.size === 0 && !news.queued && news.cancels.length === 0) return;
    for (const id of news.jobs) this.#news.jobs.add(id);
    this.#news.queued ||= news.queued;
    this.#news.cancels.push(...news.cancels);
    this.#timer ??= setTimeout(() => void this.#send(), gatherMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort(new Error("the store is closed"));
    clearTimeout(this.#timer);
    this.#listeners.clear();
    this.#connection?.cut();
    await this.#running;
  }

  async #send(): Promise<void> {
    this.#timer = undefined;
    const payloads = payloadsOf(this.#options.origin, this.#news);
    this.#news = noNews();
    try {
      await this.#connection?.run(tell, [this.#channel, payloads]);
    } catch (error) {
      this.#log.debug({ err: storeError(error) }, "hint not sent");
    }
  }

  async #keepListening(): Promise<void> {
    const { signal } = this.#stopped;
    const backoff = new Backoff({ baseMs: 100, capMs: 5_000 });
    while (!signal.aborted) {
      try {
        await this.#listenOnce(() => backoff.reset());
      } catch (error) {
        this.#log.debug({ err: storeError(error) }, "hints are not heard");
      }
      await sleep(backoff.next(), signal).catch(() => undefined);
    }
  }

  /** Until the connection is lost. What was told before it was there may have been missed. */
  async #listenOnce(heard: () => void): Promise<void> {
    const connection = await Connection.open(this.#options);
    if (this.#stopped.signal.aborted) return connection.cut();
    // from here on it is cut when this is disposed of, also while the server has not answered
    this.#connection = connection;
    const over = new Promise<void>((resolve) => connection.onEnd(resolve));
    connection.onNotification((payload) => this.#hear(payload));
    try {
      // A hint that is lost with the database costs a moment; its commit need not wait for the disk.
      await connection.script(
        `SET synchronous_commit = off; LISTEN "${this.#channel.replaceAll('"', '""')}"`,
      );
      this.#hears = true;
      heard();
      this.#emit({ kind: "missed" });
      await over;
    } finally {
      this.#hears = false;
      this.#connection = undefined;
      connection.cut();
    }
  }

  #hear(payload: string): void {
    for (const hint of parseHint(payload, this.#options.origin)) this.#emit(hint);
  }

  #emit(hint: Hint): void {
    for (const listener of this.#listeners) listener(hint);
  }
}

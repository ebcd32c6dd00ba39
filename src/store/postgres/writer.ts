import { Backoff, deferred, sleep, steadyNow, type Deferred } from "../../async/index.ts";
import { isError, SallyportError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { Call, Transaction } from "./calls.ts";
import { noNews, type News } from "./news.ts";
import type { DatabaseClock } from "./clock.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";
import { isContention, isLoss, storeError } from "./errors.ts";
import { carryOut, type Answer } from "./group.ts";
import { Marks, type Marked } from "./marks.ts";

/** Bounds of one group, so that nobody's answer waits for everybody's. */
const groupCalls = 256;
const groupBytes = 8 * 2 ** 20;
/** calls that may wait; beyond them the store says that it cannot keep up */
const waitingCalls = 20_000;
/** how often a group is made again that lost to another hub's */
const contentionTries = 5;

interface Pending {
  call: Call<unknown>;
  answer: Deferred<unknown>;
}

export interface WriterDeps {
  log: Log;
  clock: DatabaseClock;
  /** told once it is on disk */
  onNews: (news: News) => void;
}

export interface WriterOptions extends ConnectionOptions {
  /** how long calls wait for a database that is away, `ms` */
  patienceMs: number;
}

/**
 * The one connection of a hub that changes rows. Calls that come while a group is being committed go together into the next one,
 * and are answered once it is on disk.
 */
export class Writer implements AsyncDisposable {
  readonly #deps: WriterDeps;
  readonly #options: WriterOptions;
  readonly #stopped = new AbortController();
  readonly #marks = new Marks();
  #connection: Connection | undefined;
  #waiting: Pending[] = [];
  #working: Promise<void> | undefined;
  #over: SallyportError | undefined;
  /** the database was away for longer than calls wait; until it is back they are told at once */
  #gaveUp = false;

  private constructor(deps: WriterDeps, options: WriterOptions, connection: Connection) {
    this.#deps = deps;
    this.#options = options;
    this.#connection = connection;
  }

  static async open(deps: WriterDeps, options: WriterOptions): Promise<Writer> {
    const connection = await Connection.open(options);
    await Marks.forget(connection);
    return new Writer(deps, options, connection);
  }

  call<T>(call: Call<T>): Promise<T> {
    if (this.#over !== undefined) return Promise.reject(this.#over);
    if (this.#waiting.length >= waitingCalls) {
      return Promise.reject(
        new SallyportError("store_unavailable", "store: too many calls wait for the database"),
      );
    }
    const answer = deferred<unknown>();
    this.#waiting.push({ call, answer });
    this.#working ??= this.#work();
    return answer.promise as Promise<T>;
  }

  /** Ends the connection where it stands, as the death of the process would. */
  abort(): void {
    const error = new SallyportError("store_unavailable", "store: it was aborted");
    this.#over ??= error;
    this.#stopped.abort(error);
    this.#connection?.cut();
    this.#rejectWaiting(error);
  }

  /** Everything asked for so far is answered first. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over ??= new SallyportError("store_unavailable", "store: it is closed");
    await this.#working;
    this.#stopped.abort(this.#over);
    await this.#connection?.[Symbol.asyncDispose]();
  }

  async #work(): Promise<void> {
    // What is asked for in the same turn goes together.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group = this.#takeGroup();
      try {
        await this.#commit(group);
      } catch (error) {
        const reason = storeError(error);
        for (const { answer } of group) answer.reject(reason);
        if (this.#gaveUp || this.#stopped.signal.aborted) this.#rejectWaiting(reason);
      }
    }
    this.#working = undefined;
  }

  #takeGroup(): Pending[] {
    let bytes = 0;
    let count = 0;
    for (const { call } of this.#waiting) {
      bytes += call.size ?? 0;
      if (count > 0 && bytes > groupBytes) break;
      count += 1;
      if (count >= groupCalls) break;
    }
    return this.#waiting.splice(0, count);
  }

  /** Commits a group, or settles that it cannot be. A group the server refuses is made call by call, so only those fail that have to. */
  async #commit(group: readonly Pending[]): Promise<void> {
    const until = performance.now() + (this.#gaveUp ? 0 : this.#options.patienceMs);
    for (let tries = 1; ; tries += 1) {
      try {
        const answers = await this.#tryCommit(group, until);
        group.forEach((pending, at) => settle(pending, answers[at]));
        return;
      } catch (error) {
        if (isContention(error) && tries < contentionTries) continue;
        if (group.length === 1 || isError(error, "store_unavailable")) throw error;
        for (const pending of group) await this.#commitAlone(pending);
        return;
      }
    }
  }

  async #commitAlone(pending: Pending): Promise<void> {
    try {
      await this.#commit([pending]);
    } catch (error) {
      pending.answer.reject(storeError(error));
    }
  }

  /** One transaction. When the connection is lost the database is asked, as soon as it answers again, what became of it. */
  async #tryCommit(group: readonly Pending[], until: number): Promise<Answer[]> {
    for (;;) {
      const connection = await this.#connected(until);
      const attempt: Attempt = { marked: undefined, answers: undefined };
      try {
        return await this.#transact(connection, group, attempt);
      } catch (error) {
        const lost = connection.lost || isLoss(error);
        this.#letGo(connection);
        this.#stopped.signal.throwIfAborted();
        if (!lost) throw error;
        this.#deps.log.warn(
          { err: storeError(error), calls: group.length },
          "lost the database, connecting anew",
        );
        const { answers, marked } = attempt;
        if (answers !== undefined && marked !== undefined && (await this.#isCommitted(marked, until)))
          return answers;
        // it may be the group that costs the connection: one that takes too long, say
        if (performance.now() > until) throw storeError(error);
      }
    }
  }

  /** Nothing waits for an answer it does not hang on: a group takes two round trips, one for what it reads and one for what it writes. */
  async #transact(connection: Connection, group: readonly Pending[], attempt: Attempt): Promise<Answer[]> {
    const { clock } = this.#deps;
    const news = noNews();
    const begun = this.#begin(connection);
    const transaction: Transaction = { connection, clock, news, begun };
    const calls = group.map(({ call }) => call);
    const [marked, { answers, written }] = await Promise.all([begun, carryOut(transaction, calls)]);
    attempt.marked = marked;
    attempt.answers = answers;
    // after a statement that failed it rolls back
    const committed = connection.script("COMMIT");
    const [, command] = await Promise.all([written, committed]);
    if (command !== "COMMIT") throw new Error("the database rolled back");
    this.#deps.onNews(news);
    return answers;
  }

  async #begin(connection: Connection): Promise<Marked> {
    const sentAt = steadyNow();
    const [, marked] = await Promise.all([
      connection.script("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"),
      this.#marks.leave(connection),
    ]);
    this.#deps.clock.observe(marked.now, sentAt);
    return marked;
  }

  /** What became of a transaction whose COMMIT was not answered. After a failover that lost it, it never was. */
  async #isCommitted(marked: Marked, until: number): Promise<boolean> {
    const backoff = new Backoff({ baseMs: 20, capMs: 500 });
    for (;;) {
      const connection = await this.#connected(until);
      try {
        const committed = await this.#marks.isCommitted(connection, marked);
        if (committed !== undefined) return committed;
      } catch (error) {
        if (!connection.lost && !isLoss(error)) throw error;
        this.#letGo(connection);
      }
      if (performance.now() > until) throw away();
      await sleep(backoff.next(), this.#stopped.signal);
    }
  }

  async #connected(until: number): Promise<Connection> {
    const backoff = new Backoff({ baseMs: 50, capMs: 1_000 });
    for (;;) {
      this.#stopped.signal.throwIfAborted();
      if (this.#connection?.lost === false) return this.#connection;
      try {
        this.#connection = await Connection.open(this.#options);
        this.#gaveUp = false;
      } catch (error) {
        if (performance.now() >= until) {
          this.#gaveUp = true;
          throw error;
        }
        await sleep(backoff.next(until - performance.now()), this.#stopped.signal);
      }
    }
  }

  /** After an error the next group gets a connection nothing is known against. */
  #letGo(connection: Connection): void {
    connection.cut();
    if (this.#connection === connection) this.#connection = undefined;
  }

  #rejectWaiting(error: SallyportError): void {
    for (const { answer } of this.#waiting.splice(0)) answer.reject(error);
  }
}

interface Attempt {
  marked: Marked | undefined;
  /** what the calls are answered once it is committed */
  answers: Answer[] | undefined;
}

function settle({ answer }: Pending, given: Answer | undefined): void {
  if (given === undefined) answer.reject(new SallyportError("internal", "store: a call got no answer"));
  else if ("error" in given) answer.reject(storeError(given.error));
  else answer.resolve(given.value);
}

function away(): SallyportError {
  return new SallyportError(
    "store_unavailable",
    "store: the database is away, and what it did last is unknown",
  );
}

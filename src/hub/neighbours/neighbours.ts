/** The other hubs on the same store: where each listens, and what it answers. */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { ZodType } from "zod";
import { deadlineSignal, sleep, withDeadline } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { HubDirectory, HubRecord } from "../../store/index.ts";
import { askHub, unreachable, type Question } from "./request.ts";

/** how often a hub says that it lives, and how long it is believed, `ms` */
const announceEveryMs = 2_000;
const liveMs = 10_000;
/** how long the store may take to forget a hub that stops, `ms` */
const leaveMs = 1_000;

/** What became of one question to all of them. */
export interface Asked<T> {
  answers: { hub: HubRecord; value: T }[];
  /** those that gave no answer of use: away, or of another mind about the secret */
  silent: HubRecord[];
}

export interface NeighboursDeps {
  /** undefined where no other hub can be */
  directory: HubDirectory | undefined;
  log: Log;
}

export interface NeighboursOptions {
  hubId: string;
  /** how long a neighbour may take to answer, `ms`; default 2 s */
  answerMs?: number;
  /** how often it is looked whether one that is handed something lives still, `ms`; default 2 s */
  lookMs?: number;
  /** questions under way at once, so that clients cannot make hubs drown each other; default 256 */
  atOnce?: number;
}

export class Neighbours {
  readonly #directory: HubDirectory | undefined;
  readonly #log: Log;
  readonly #hubId: string;
  readonly #answerMs: number;
  readonly #lookMs: number;
  readonly #atOnce: number;
  /** 256 random bits, for this process only */
  readonly #secret = randomBytes(32).toString("base64url");
  #asking = 0;

  constructor(
    { directory, log }: NeighboursDeps,
    { hubId, answerMs = 2_000, lookMs = announceEveryMs, atOnce = 256 }: NeighboursOptions,
  ) {
    this.#directory = directory;
    this.#log = log;
    this.#hubId = hubId;
    this.#answerMs = answerMs;
    this.#lookMs = lookMs;
    this.#atOnce = atOnce;
  }

  /** Says that this hub lives and answers at `url`, until the signal fires. Ends at once where no other hub can be. */
  async announceLoop(url: string, signal: AbortSignal): Promise<void> {
    const directory = this.#directory;
    if (directory === undefined) return;
    while (!signal.aborted) {
      try {
        await directory.announce({ hubId: this.#hubId, url, secret: this.#secret }, liveMs);
      } catch (error) {
        this.#log.warn({ err: error }, "other hubs cannot be told of this one, it will be tried again");
      }
      await sleep(announceEveryMs, signal).catch(() => undefined);
    }
  }

  /** This hub neither asks nor answers any more. */
  async leave(): Promise<void> {
    if (this.#directory === undefined) return;
    try {
      await withDeadline(this.#directory.leave(this.#hubId), leaveMs, "leaving the other hubs");
    } catch (error) {
      this.#log.info({ err: error }, "other hubs were not told that this one is gone");
    }
  }

  /** Throws `unauthenticated` unless it is a neighbour's request. */
  admit(authorization: string | undefined): void {
    if (isSame(authorization ?? "", `Bearer ${this.#secret}`)) return;
    throw new SallyportError("unauthenticated", "authorization: only another hub may ask this");
  }

  /** Asks every other hub at once, each for a bounded time. Throws `capacity_exhausted`, and what the store throws. */
  async askAll<T>(question: Question, schema: ZodType<T>): Promise<Asked<T>> {
    const hubs = await this.#others();
    if (this.#asking + hubs.length > this.#atOnce) {
      throw new SallyportError("capacity_exhausted", "this hub has too many questions to others under way");
    }
    this.#asking += hubs.length;
    const asked: Asked<T> = { answers: [], silent: [] };
    try {
      await Promise.all(hubs.map((hub) => this.#ask(hub, question, schema, asked)));
    } finally {
      this.#asking -= hubs.length;
    }
    return asked;
  }

  /**
   * Hands `body` on; resolves once the other side took all of it. A program takes its input when it likes, so what ends the wait is not
   * time, but that the other hub lives no more. Throws what it refuses with, and `hub_unreachable`.
   */
  async send(hub: HubRecord, question: Question, signal: AbortSignal): Promise<void> {
    const [over, gone] = [new AbortController(), new AbortController()];
    this.#leaves(hub, over.signal).then(
      () => gone.abort(unreachable(hub)),
      () => undefined,
    );
    try {
      await askHub(hub, question, AbortSignal.any([signal, gone.signal]));
    } finally {
      over.abort();
    }
  }

  /** Resolves once it is not among those that live; rejects when the signal fires. */
  async #leaves({ hubId }: HubRecord, signal: AbortSignal): Promise<void> {
    for (let lives = true; lives;) {
      await sleep(this.#lookMs, signal);
      const hubs = await this.#others().catch(() => null);
      lives = hubs === null || hubs.some((other) => other.hubId === hubId);
    }
  }

  async #others(): Promise<HubRecord[]> {
    const live = (await this.#directory?.live()) ?? [];
    return live.filter(({ hubId }) => hubId !== this.#hubId);
  }

  async #ask<T>(hub: HubRecord, question: Question, schema: ZodType<T>, asked: Asked<T>): Promise<void> {
    using deadline = deadlineSignal(this.#answerMs, `the answer of ${hub.hubId}`);
    try {
      const value = schema.parse(await askHub(hub, question, deadline.signal));
      asked.answers.push({ hub, value });
    } catch (error) {
      const { code, message } = SallyportError.from(error);
      this.#log.info({ neighbour: hub.hubId, path: question.path, code, reason: message }, "no answer");
      asked.silent.push(hub);
    }
  }
}

function isSame(given: string, wanted: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(wanted));
}

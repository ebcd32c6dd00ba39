/**
 * Sandboxes made and warmed ahead, each used by one job and removed with it. Who finds none goes cold at once. The pool is in no
 * hurry: it makes one when no job is on the way to its command and memory is left, gives way when a job needs the memory, and makes
 * none while jobs wait for their turn to have one made.
 */
import PQueue from "p-queue";
import { Backoff, deadlineSignal, linkSignals, Notifier } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { Driver, Profile } from "../../sandbox/index.ts";
import type { Calm, Patience } from "../calm.ts";
import { removeSandbox, type HeldSandbox, type SandboxSource } from "../sandboxes.ts";
import { outfitOf, type SandboxNetwork } from "../network.ts";
import type { Bound } from "../start-bound.ts";
import { Shelf } from "./shelf.ts";
import { makeWarm, type WarmSandbox } from "./warm-sandbox.ts";

export interface PoolDeps {
  driver: Pick<Driver, "create">;
  network: SandboxNetwork | undefined;
  /** Where a job gets its sandbox from when none waits */
  cold: SandboxSource;
  calm: Calm;
  log: Log;
  /** Profiles whose sandboxes can be made */
  profiles: () => readonly Profile[];
  /** bytes that no job has been promised */
  room: () => number;
  /** A sandbox of `profile` could not be made ahead, or (undefined) could */
  judged: (profile: Profile, fault: SallyportError | undefined) => void;
  /** `count` tells something else */
  changed: () => void;
}

export interface PoolOptions extends Patience {
  /** Sandboxes made at once */
  concurrency: number;
  /** for making one and loading its modules, `ms` */
  warmMs: number;
  /** for removing one, `ms` */
  cleanUpMs: number;
  /** bounds of the wait after one could not be made, `ms` */
  backoffBaseMs: number;
  backoffCapMs: number;
}

/** A shelf, whether it is to be filled, and what went wrong last. */
interface Place {
  shelf: Shelf;
  open: boolean;
  backoff: Backoff;
  fault: SallyportError | undefined;
  retry: NodeJS.Timeout | undefined;
}

export class Pool implements SandboxSource, AsyncDisposable {
  readonly #deps: PoolDeps;
  readonly #options: PoolOptions;
  readonly #queue: PQueue;
  /** by digest */
  readonly #places = new Map<string, Place>();
  readonly #closing = new AbortController();
  readonly #released = new Notifier();
  readonly #removing = new Set<Promise<void>>();
  #started = false;
  /** bytes of everything made ahead, from the start of its making to the end of its removal */
  #memory = 0;
  #making = 0;

  constructor(deps: PoolDeps, options: PoolOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#queue = new PQueue({ concurrency: options.concurrency });
  }

  /** Sandboxes of `profile` that wait */
  count(profile: Profile): number {
    return this.#places.get(profile.digest)?.shelf.size ?? 0;
  }

  /** The same for every profile of which one waits, by name */
  get counts(): Record<string, number> {
    const shelves = [...this.#places.values()].map(({ shelf }) => shelf).filter(({ size }) => size > 0);
    return Object.fromEntries(shelves.map(({ profile, size }) => [profile.name, size]));
  }

  /** Begins to fill; until then every job goes cold. */
  start(): void {
    this.#started = true;
    this.refresh();
  }

  /** Looks again at what there should be: to be called when profiles or the memory left have changed. */
  refresh(): void {
    if (!this.#started || this.#closing.signal.aborted) return;
    const wanted = new Map<string, Profile>();
    for (const profile of this.#deps.profiles()) {
      if (profile.lifecycle === "job" && profile.pool.warm > 0) wanted.set(profile.digest, profile);
    }
    for (const [digest, place] of this.#places) if (!wanted.has(digest)) this.#close(place);
    for (const profile of wanted.values()) {
      const place = this.#openPlace(profile);
      this.#renew(place);
      this.#top(place);
    }
  }

  /** Throws what a cold `acquire` throws. A warm one is taken in the turn of the call, so no two jobs can get it. */
  acquire(profile: Profile, lease: string, hosts: readonly string[], bound: Bound): Promise<HeldSandbox> {
    bound.signal.throwIfAborted();
    const place = this.#places.get(profile.digest);
    const warm = place?.shelf.take(hosts);
    if (place === undefined || warm === undefined) return this.#acquireCold(profile, lease, hosts, bound);
    this.#free(profile);
    this.#deps.changed();
    this.#top(place);
    const { sandbox, interpreters, outfit } = warm;
    return Promise.resolve({
      sandbox,
      env: outfit.env,
      interpreters,
      warm: true,
      [Symbol.asyncDispose]: () => this.#remove(warm),
    });
  }

  /** Resolves when nothing made ahead is left; nothing more is made. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new SallyportError("shutting_down", "the pool is emptied"));
    for (const place of this.#places.values()) {
      this.#close(place);
      clearTimeout(place.retry);
    }
    await this.#queue.onIdle();
    await Promise.all(this.#removing);
  }

  async #acquireCold(
    profile: Profile,
    lease: string,
    hosts: readonly string[],
    bound: Bound,
  ): Promise<HeldSandbox> {
    await this.#giveWay(bound.signal);
    return await this.#deps.cold.acquire(profile, lease, hosts, bound);
  }

  /** Jobs were promised the memory that what waits here holds. */
  async #giveWay(signal: AbortSignal): Promise<void> {
    while (this.#memory > this.#deps.room()) {
      const places = [...this.#places.values()].toSorted((a, b) => b.shelf.size - a.shelf.size);
      const warm = places[0]?.shelf.takeAny();
      const released = this.#released.wait(signal);
      if (warm !== undefined) this.#retire(warm);
      else if (this.#removing.size === 0 && this.#making === 0) return;
      await released;
    }
  }

  #openPlace(profile: Profile): Place {
    const known = this.#places.get(profile.digest);
    if (known !== undefined) {
      known.open = true;
      return known;
    }
    const { backoffBaseMs: baseMs, backoffCapMs: capMs } = this.#options;
    const shelf = new Shelf(profile, (warm) => {
      this.#retire(warm);
      this.#top(place);
    });
    const backoff = new Backoff({ baseMs, capMs });
    const place: Place = { shelf, open: true, backoff, fault: undefined, retry: undefined };
    this.#places.set(profile.digest, place);
    return place;
  }

  #close(place: Place): void {
    const { shelf } = place;
    place.open = false;
    for (let warm = shelf.takeAny(); warm !== undefined; warm = shelf.takeAny()) this.#retire(warm);
  }

  /**
   * Names are written into a sandbox when it is made. Those whose names are no longer the right ones go one at a time, each when the
   * one in its predecessor's place is made, and serve what they can until then.
   */
  #renew({ shelf }: Place): void {
    if (shelf.missing > 0 || shelf.pending > 0 || shelf.paused) return;
    const stale = shelf.takeStale(outfitOf(shelf.profile, this.#deps.network).hosts);
    if (stale !== undefined) this.#retire(stale);
  }

  /** Asks for what is missing; the shelves take turns, since each asks for the next one when one is made. */
  #top(place: Place): void {
    const { shelf } = place;
    while (place.open && !shelf.paused && shelf.missing > 0) {
      if (shelf.pending >= this.#options.concurrency) return;
      shelf.pending += 1;
      void this.#queue.add(async () => {
        const again = await this.#fill(place);
        shelf.pending -= 1;
        this.#renew(place);
        if (again) this.#top(place);
      });
    }
  }

  /** Makes one, when there is a good time for it. Whether there is reason to make the next. Never rejects. */
  async #fill(place: Place): Promise<boolean> {
    const { shelf } = place;
    const { profile } = shelf;
    const { memory } = profile.resources;
    try {
      await this.#deps.calm.wait(this.#options, this.#closing.signal);
    } catch {
      return false;
    }
    if (!place.open || shelf.paused || this.#memory + memory > this.#deps.room()) return false;
    this.#memory += memory;
    this.#making += 1;
    try {
      const warm = await this.#make(profile);
      this.#making -= 1;
      this.#made(place, warm);
      return true;
    } catch (error) {
      this.#making -= 1;
      this.#free(profile);
      if (!this.#closing.signal.aborted) this.#failed(place, SallyportError.from(error));
      return false;
    }
  }

  async #make(profile: Profile): Promise<WarmSandbox> {
    using deadline = deadlineSignal(this.#options.warmMs, `warming a sandbox of ${profile.name}`);
    using either = linkSignals(this.#closing.signal, deadline.signal);
    return await makeWarm(this.#deps.driver, profile, outfitOf(profile, this.#deps.network), either.signal);
  }

  #made(place: Place, warm: WarmSandbox): void {
    const { shelf } = place;
    if (place.open) shelf.put(warm);
    else this.#retire(warm);
    this.#released.notify();
    place.backoff.reset();
    if (place.fault !== undefined) {
      this.#deps.log.info({ profile: shelf.profile.name }, "sandboxes are made ahead again");
      place.fault = undefined;
    }
    this.#deps.judged(shelf.profile, undefined);
    this.#deps.changed();
  }

  #failed(place: Place, fault: SallyportError): void {
    const { shelf } = place;
    const retryMs = Math.round(place.backoff.next());
    if (place.fault?.code !== fault.code)
      this.#deps.log.warn({ profile: shelf.profile.name, err: fault }, "no sandbox could be made ahead");
    place.fault = fault;
    shelf.paused = true;
    clearTimeout(place.retry);
    place.retry = setTimeout(() => {
      shelf.paused = false;
      this.#top(place);
    }, retryMs);
    this.#deps.judged(shelf.profile, fault);
  }

  /** Removes what nobody has used. */
  #retire(warm: WarmSandbox): void {
    const removing = this.#remove(warm).finally(() => {
      this.#removing.delete(removing);
      this.#free(warm.sandbox.profile);
    });
    this.#removing.add(removing);
    this.#deps.changed();
  }

  #free(profile: Profile): void {
    this.#memory -= profile.resources.memory;
    this.#released.notify();
  }

  async #remove({ sandbox }: WarmSandbox): Promise<void> {
    await removeSandbox(sandbox, this.#deps, this.#options.cleanUpMs);
  }
}

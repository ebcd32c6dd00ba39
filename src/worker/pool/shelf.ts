/** The warm sandboxes of one profile. */
import { maxTimerMs } from "../../async/index.ts";
import type { Profile } from "../../sandbox/index.ts";
import type { WarmSandbox } from "./warm-sandbox.ts";

interface Entry {
  warm: WarmSandbox;
  expiry: NodeJS.Timeout;
}

/** The least part of `pool.maxAge` that a sandbox waits, so that those made together do not expire together */
const leastAge = 0.75;

export class Shelf {
  readonly profile: Profile;
  /** Sandboxes on their way to it */
  pending = 0;
  /** It is left alone for a while: the last one could not be made */
  paused = false;
  readonly #entries: Entry[] = [];
  readonly #onRetired: (warm: WarmSandbox) => void;

  /** `onRetired` gets what has expired or died, which is no longer here. */
  constructor(profile: Profile, onRetired: (warm: WarmSandbox) => void) {
    this.profile = profile;
    this.#onRetired = onRetired;
  }

  get size(): number {
    return this.#entries.length;
  }

  get missing(): number {
    return this.profile.pool.warm - this.#entries.length - this.pending;
  }

  put(warm: WarmSandbox): void {
    const { maxAge } = this.profile.pool;
    const age = maxAge * (leastAge + (1 - leastAge) * Math.random());
    const retire = (): void => {
      if (this.#remove(entry)) this.#onRetired(warm);
    };
    const entry = { warm, expiry: setTimeout(retire, Math.min(age, maxTimerMs)) };
    this.#entries.push(entry);
    void warm.died.then(retire);
  }

  /** The oldest one in which all of `hosts` resolve; it is the caller's from here on. */
  take(hosts: readonly string[]): WarmSandbox | undefined {
    return this.#takeFirst(({ outfit }) => hosts.every((host) => outfit.hosts.includes(host)));
  }

  /** The oldest one in which other names than `hosts`, which are sorted, resolve */
  takeStale(hosts: readonly string[]): WarmSandbox | undefined {
    return this.#takeFirst(({ outfit }) => outfit.hosts.join() !== hosts.join());
  }

  /** The oldest one, whatever it is */
  takeAny(): WarmSandbox | undefined {
    return this.#takeFirst(() => true);
  }

  #takeFirst(suits: (warm: WarmSandbox) => boolean): WarmSandbox | undefined {
    const entry = this.#entries.find(({ warm }) => suits(warm));
    return entry !== undefined && this.#remove(entry) ? entry.warm : undefined;
  }

  #remove(entry: Entry): boolean {
    const at = this.#entries.indexOf(entry);
    if (at < 0) return false;
    clearTimeout(entry.expiry);
    this.#entries.splice(at, 1);
    return true;
  }
}

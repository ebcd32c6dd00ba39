import { steadyNow } from "../../async/index.ts";

/** apart by less than this, `ms`, two clocks count as one */
const tolerance = 250;

/**
 * Leases end by the database's clock, the only one that all hubs share. What callers say by theirs (`steadyNow`) is told in its terms, by the
 * distance between the two, which every transaction measures anew.
 */
export class DatabaseClock {
  #ahead = 0;

  /** The database's clock showed `shown` between `sentAt` and now, both by `steadyNow`. */
  observe(shown: number, sentAt: number): void {
    const least = shown - steadyNow() - tolerance;
    const most = shown - sentAt + tolerance;
    if (this.#ahead >= least && this.#ahead <= most) return;
    this.#ahead = least <= 0 && most >= 0 ? 0 : (least + most) / 2;
  }

  toDatabase(ms: number): number {
    return Math.round(ms + this.#ahead);
  }

  fromDatabase(ms: number): number {
    return Math.round(ms - this.#ahead);
  }
}

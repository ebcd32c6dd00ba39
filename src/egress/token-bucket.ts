/** So many per second, and at most so many at once. */
export class TokenBucket {
  readonly #perMs: number;
  readonly #burst: number;
  readonly #clock: () => number;
  #tokens: number;
  #at: number;

  constructor(options: { perSecond: number; burst: number }, clock: () => number) {
    this.#perMs = options.perSecond / 1_000;
    this.#burst = options.burst;
    this.#clock = clock;
    this.#tokens = options.burst;
    this.#at = clock();
  }

  /** Takes one; false where there is none. */
  take(): boolean {
    this.#fill();
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** `ms` until there is one */
  get waitMs(): number {
    this.#fill();
    return this.#tokens >= 1 ? 0 : (1 - this.#tokens) / this.#perMs;
  }

  #fill(): void {
    const now = this.#clock();
    this.#tokens = Math.min(this.#burst, this.#tokens + Math.max(0, now - this.#at) * this.#perMs);
    this.#at = now;
  }
}

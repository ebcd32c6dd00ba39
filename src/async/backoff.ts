export interface BackoffOptions {
  /** Upper bound of the first wait in `ms` */
  baseMs: number;
  /** Upper bound of every wait in `ms` */
  capMs: number;
  random?: () => number;
}

/** Exponential waits with full jitter; the owner calls `reset` once the thing has stayed up. */
export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** How long to wait before the next try, in `ms`; never longer than `atMostMs`, where this one cannot wait so long. */
  next(atMostMs = Number.POSITIVE_INFINITY): number {
    const { baseMs, capMs, random = Math.random } = this.#options;
    const bound = Math.min(capMs, atMostMs, baseMs * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    return random() * bound;
  }

  reset(): void {
    this.#failures = 0;
  }
}

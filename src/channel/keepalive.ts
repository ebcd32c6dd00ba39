export interface KeepaliveOptions {
  /** between pings, `ms` */
  pingMs: number;
  /** silence that ends the channel, `ms` */
  silenceMs: number;
}

/** A half-open connection is noticed within 4.5 s. */
export const defaultKeepalive: KeepaliveOptions = { pingMs: 1_500, silenceMs: 4_000 };

interface Watched {
  readonly received: number;
  readonly paused: boolean;
  ping(): void;
}

/**
 * Pings, and calls `silent` once when nothing arrived for `silenceMs`. Time is counted in ticks of an eighth of that: a
 * process that was itself held up reads what waits for it before the next tick, so it does not blame the far end; nor does one
 * that reads nothing on purpose.
 */
export class Keepalive implements Disposable {
  readonly #timer: NodeJS.Timeout;

  constructor(watched: Watched, silent: () => void, options: KeepaliveOptions) {
    const ticksOfSilence = 8;
    const tickMs = options.silenceMs / ticksOfSilence;
    const ticksPerPing = Math.max(1, Math.floor(options.pingMs / tickMs));
    let received = watched.received;
    let ticks = 0;
    let quiet = 0;
    this.#timer = setInterval(() => {
      quiet = watched.received === received && !watched.paused ? quiet + 1 : 0;
      received = watched.received;
      if (quiet >= ticksOfSilence) {
        clearInterval(this.#timer);
        silent();
        return;
      }
      ticks += 1;
      if (ticks % ticksPerPing === 0) watched.ping();
    }, tickMs);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

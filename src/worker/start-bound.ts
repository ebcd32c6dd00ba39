/** How long a job may be on the way to its command. */
import { linkSignals } from "../async/index.ts";
import { SallyportError } from "../errors.ts";

export interface Bound {
  readonly signal: AbortSignal;
  /** What passes until this is disposed does not count. */
  pause(): Disposable;
}

/** Fires with `deadline_exceeded` once `ms` have passed outside of pauses, or with the reason of `stop` at any time. */
export class StartBound implements Bound, Disposable {
  readonly #link: ReturnType<typeof linkSignals>;
  readonly #ms: number;
  #leftMs: number;
  #pauses = 0;
  #over = false;
  /** monotonic `ms` */
  #since = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(ms: number, stop: AbortSignal) {
    this.#ms = ms;
    this.#leftMs = ms;
    this.#link = linkSignals(stop);
    this.#go();
  }

  get signal(): AbortSignal {
    return this.#link.signal;
  }

  pause(): Disposable {
    let over = false;
    if (this.#pauses === 0) this.#stand();
    this.#pauses += 1;
    return {
      [Symbol.dispose]: () => {
        if (over) return;
        over = true;
        this.#pauses -= 1;
        if (this.#pauses === 0 && !this.#over) this.#go();
      },
    };
  }

  [Symbol.dispose](): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#link[Symbol.dispose]();
  }

  #go(): void {
    this.#since = performance.now();
    this.#timer = setTimeout(() => this.#link.abort(this.#reason()), this.#leftMs);
  }

  #stand(): void {
    clearTimeout(this.#timer);
    this.#leftMs = Math.max(0, this.#leftMs - (performance.now() - this.#since));
  }

  #reason(): SallyportError {
    return new SallyportError("deadline_exceeded", `starting the command took longer than ${this.#ms} ms`);
  }
}

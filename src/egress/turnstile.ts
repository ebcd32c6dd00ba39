/** Takes up a sandbox's connections: so many at once, so many per second, the others in line, and no more than a line's worth. */
import type { Duplex } from "node:stream";
import { TokenBucket } from "./token-bucket.ts";

export interface TurnstileOptions {
  atOnce: number;
  waiting: number;
  perSecond: number;
  clock: () => number;
}

export class Turnstile<Socket extends Duplex> implements Disposable {
  readonly #options: TurnstileOptions;
  readonly #serve: (socket: Socket) => void;
  readonly #bucket: TokenBucket;
  #line: Socket[] = [];
  readonly #served = new Set<Socket>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: TurnstileOptions, serve: (socket: Socket) => void) {
    this.#options = options;
    this.#serve = serve;
    this.#bucket = new TokenBucket({ perSecond: options.perSecond, burst: options.perSecond }, options.clock);
  }

  /** Connections served now */
  get size(): number {
    return this.#served.size;
  }

  enter(socket: Socket): void {
    socket.on("error", ignore);
    if (this.#line.length >= this.#options.waiting)
      this.#line = this.#line.filter(({ destroyed }) => !destroyed);
    if (this.#closed || this.#line.length >= this.#options.waiting) {
      socket.destroy();
      return;
    }
    this.#line.push(socket);
    this.#next();
  }

  /** Cuts all of them; whoever comes later is cut at once. */
  [Symbol.dispose](): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const socket of [...this.#line.splice(0), ...this.#served]) socket.destroy();
  }

  #next(): void {
    while (!this.#closed && this.#served.size < this.#options.atOnce) {
      const socket = this.#line[0];
      if (socket === undefined) return;
      if (!socket.destroyed && !this.#bucket.take()) return this.#later();
      this.#line.shift();
      if (!socket.destroyed) this.#begin(socket);
    }
  }

  #begin(socket: Socket): void {
    this.#served.add(socket);
    socket.once("close", () => {
      this.#served.delete(socket);
      this.#next();
    });
    this.#serve(socket);
  }

  #later(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#next();
    }, this.#bucket.waitMs);
  }
}

const ignore = (): void => undefined;

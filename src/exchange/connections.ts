/** Connections to one place: those that idle are used again, the newest first; no more than so many at once. */
import type { Duplex } from "node:stream";
import { abortable, deferred, linkSignals, type Deferred } from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import { holdLittle } from "./body.ts";
import type { HttpRequest } from "./contract.ts";

export interface ConnectionsOptions {
  /** Opens one; what it throws goes to the request that needed it. */
  connect(signal: AbortSignal, request: HttpRequest): Promise<Duplex>;
  /** Open at once */
  max: number;
  /** Requests that wait for one */
  maxWaiting: number;
  /** An idle one is closed after this, `ms` */
  idleMs: number;
}

export interface Lease {
  readonly bytes: Duplex;
  /** It carried another request before */
  readonly reused: boolean;
}

interface Idle extends Disposable {
  readonly bytes: Duplex;
}

export class Connections implements AsyncDisposable {
  readonly #options: ConnectionsOptions;
  /** The one that was used last stands last */
  readonly #idle: Idle[] = [];
  readonly #open = new Set<Duplex>();
  readonly #waiting = new Set<Deferred<void>>();
  readonly #closing = new AbortController();
  #connecting = 0;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** Throws `capacity_exhausted`, `shutting_down`, the signal's reason, or what `connect` throws; nothing was sent then. */
  async take(request: HttpRequest, signal: AbortSignal): Promise<Lease> {
    for (;;) {
      this.#closing.signal.throwIfAborted();
      signal.throwIfAborted();
      const idle = this.#takeIdle();
      if (idle !== undefined) return { bytes: idle, reused: true };
      if (this.#open.size + this.#connecting < this.#options.max) {
        return { bytes: await this.#connect(request, signal), reused: false };
      }
      await this.#wait(signal);
    }
  }

  /** Gives one back that can carry another request. */
  give(bytes: Duplex): void {
    if (bytes.destroyed || !bytes.writable || this.#closing.signal.aborted) {
      bytes.destroy();
      return;
    }
    this.#idle.push(idle(bytes, this.#options.idleMs));
    this.#wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new SallyportError("shutting_down", "the client was closed"));
    for (const bytes of this.#open) bytes.destroy();
    for (const waiting of this.#waiting) waiting.resolve();
  }

  #takeIdle(): Duplex | undefined {
    for (let last = this.#idle.pop(); last !== undefined; last = this.#idle.pop()) {
      last[Symbol.dispose]();
      if (!last.bytes.destroyed && last.bytes.readable && last.bytes.writable) return last.bytes;
      last.bytes.destroy();
    }
    return undefined;
  }

  async #connect(request: HttpRequest, signal: AbortSignal): Promise<Duplex> {
    using linked = linkSignals(signal, this.#closing.signal);
    this.#connecting += 1;
    try {
      const bytes = await this.#options.connect(linked.signal, request);
      if (linked.signal.aborted) bytes.destroy();
      linked.signal.throwIfAborted();
      this.#adopt(bytes);
      return bytes;
    } catch (error) {
      this.#wake();
      throw error;
    } finally {
      this.#connecting -= 1;
    }
  }

  #adopt(bytes: Duplex): void {
    this.#open.add(bytes);
    holdLittle(bytes);
    bytes.on("error", () => undefined);
    bytes.once("close", () => {
      this.#forget(bytes);
      this.#open.delete(bytes);
      this.#wake();
    });
    // how Node's parser tells that a reply ended and the connection may carry another request
    bytes.on("free", () => this.give(bytes));
    if ("setNoDelay" in bytes && typeof bytes.setNoDelay === "function") bytes.setNoDelay(true);
  }

  #forget(bytes: Duplex): void {
    const at = this.#idle.findIndex((entry) => entry.bytes === bytes);
    if (at !== -1) this.#idle.splice(at, 1).forEach((entry) => entry[Symbol.dispose]());
  }

  async #wait(signal: AbortSignal): Promise<void> {
    if (this.#waiting.size >= this.#options.maxWaiting) {
      throw new SallyportError("capacity_exhausted", "too many requests wait for a connection");
    }
    const turn = deferred<void>();
    this.#waiting.add(turn);
    try {
      await abortable(turn.promise, signal);
    } finally {
      if (!this.#waiting.delete(turn)) this.#passOn(signal);
    }
  }

  /** Who was woken and left meanwhile wakes the next. */
  #passOn(signal: AbortSignal): void {
    if (signal.aborted) this.#wake();
  }

  #wake(): void {
    const [first] = this.#waiting;
    if (first === undefined) return;
    this.#waiting.delete(first);
    first.resolve();
  }
}

/** Closes an idle connection after its time, and at once when something comes: it would be taken for the next reply. */
function idle(bytes: Duplex, idleMs: number): Idle {
  const cut = (): void => void bytes.destroy();
  const timer = setTimeout(cut, idleMs);
  bytes.on("data", cut);
  bytes.on("end", cut);
  return {
    bytes,
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      bytes.off("data", cut);
      bytes.off("end", cut);
    },
  };
}

/**
 * Two linked ends in one process with the laws of the real thing: order, asynchronous delivery, a bounded pipe that is `buffered`
 * until the other end takes from it, close reasons cut to what a close frame holds. `link` does to it what networks do.
 */
import { SallyportError } from "../errors.ts";
import { silentLog, type Log } from "../log.ts";
import { limits } from "../protocol/index.ts";
import { closeOf, errorOfClose } from "./close-codes.ts";
import type { Channel, Dialect } from "./contract.ts";
import type { KeepaliveOptions } from "./keepalive.ts";
import { LiveChannel } from "./live-channel.ts";
import type { Transport, TransportHandlers } from "./transport.ts";

/** bytes delivered in one turn of the event loop */
const bytesPerTurn = 256 * 2 ** 10;

export interface MemoryLink {
  /** Breaks the connection under both ends. */
  cut(): void;
  /** Nothing arrives any more, nobody is told. */
  stall(): void;
  /** What was stalled arrives after all. */
  resume(): void;
  /** Whatever is sent from now on arrives `ms` later. */
  delay(ms: number): void;
}

export interface MemoryPairOptions {
  keepalive?: KeepaliveOptions;
  log?: Log;
}

export interface MemoryPair<AIn, AAccept, BIn, BAccept> {
  /** the dialler */
  a: Channel<BIn, AIn, BAccept, AAccept>;
  /** the acceptor */
  b: Channel<AIn, BIn, AAccept, BAccept>;
  link: MemoryLink;
}

/** Each end sends what the other's dialect reads. */
export function memoryChannelPair<AIn, AAccept, BIn, BAccept>(
  dialectA: Dialect<AIn, AAccept>,
  dialectB: Dialect<BIn, BAccept>,
  options: MemoryPairOptions = {},
): MemoryPair<AIn, AAccept, BIn, BAccept> {
  const { a, b, link } = memoryTransportPair();
  const { keepalive, log = silentLog() } = options;
  return {
    a: new LiveChannel({ transport: a, dialect: dialectA, log }, { side: "dialler", keepalive }),
    b: new LiveChannel({ transport: b, dialect: dialectB, log }, { side: "acceptor", keepalive }),
    link,
  };
}

export interface MemoryTransportPair {
  a: Transport;
  b: Transport;
  link: MemoryLink;
}

export function memoryTransportPair(): MemoryTransportPair {
  const a = new MemoryTransport("memory:b");
  const b = new MemoryTransport("memory:a");
  a.link(b);
  b.link(a);
  const both = (act: (end: MemoryTransport) => void) => (): void => [a, b].forEach(act);
  return {
    a,
    b,
    link: {
      cut: both((end) => end.over(errorOfClose({ code: 1006, reason: "" }))),
      stall: both((end) => end.stall(true)),
      resume: both((end) => end.stall(false)),
      delay: (ms) => [a, b].forEach((end) => end.delay(ms)),
    },
  };
}

interface Parcel {
  bytes: number;
  /** `performance.now()` before which it does not arrive */
  due: number;
  arrive(far: MemoryTransport): void;
}

class MemoryTransport implements Transport {
  readonly peer: string;
  #far: MemoryTransport | undefined;
  #handlers: TransportHandlers | undefined;
  #sent: Parcel[] = [];
  #buffered = 0;
  #received = 0;
  #delayMs = 0;
  #stalled = false;
  #paused = false;
  #state: "open" | "closing" | "over" = "open";
  /** takes back the next turn */
  #cancelTurn: (() => void) | undefined;

  constructor(peer: string) {
    this.peer = peer;
  }

  get buffered(): number {
    return this.#buffered;
  }

  get received(): number {
    return this.#received;
  }

  get paused(): boolean {
    return this.#paused;
  }

  link(far: MemoryTransport): void {
    this.#far = far;
  }

  attach(handlers: TransportHandlers): void {
    this.#handlers = handlers;
  }

  sendText(text: string): void {
    const bytes = Buffer.byteLength(text);
    this.#send(bytes, (far) => far.#take(bytes, (handlers) => handlers.text(text)));
  }

  sendBinary(bytes: Uint8Array): void {
    this.#send(bytes.length, (far) => far.#take(bytes.length, (handlers) => handlers.binary(bytes)));
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    if (this.#far !== undefined) this.#far.#schedule();
  }

  ping(): void {
    this.#send(0, (far) => {
      far.#received += 1;
      far.#send(0, (near) => {
        near.#received += 1;
      });
    });
  }

  close(reason: SallyportError): void {
    const said = errorOfClose(closeOf(reason));
    this.#send(0, (far) => {
      far.over(said);
      this.over(said);
    });
    if (this.#state === "open") this.#state = "closing";
  }

  terminate(): void {
    const lost = errorOfClose({ code: 1006, reason: "" });
    if (!this.#stalled) this.#far?.over(lost);
    this.over(lost);
  }

  stall(stalled: boolean): void {
    this.#stalled = stalled;
    this.#schedule();
  }

  delay(ms: number): void {
    this.#delayMs = ms;
  }

  over(reason: SallyportError): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#sent = [];
    this.#buffered = 0;
    this.#cancelTurn?.();
    queueMicrotask(() => this.#handlers?.closed(reason));
  }

  #send(bytes: number, arrive: (far: MemoryTransport) => void): void {
    if (this.#state !== "open") return;
    this.#buffered += bytes;
    this.#sent.push({ bytes, due: performance.now() + this.#delayMs, arrive });
    this.#schedule();
  }

  /** As a WebSocket library does, ends the connection over a message that is too large. */
  #take(bytes: number, give: (handlers: TransportHandlers) => void): void {
    this.#received += Math.max(1, bytes);
    if (this.#state === "over" || this.#handlers === undefined) return;
    if (bytes <= limits.messageBytes) {
      give(this.#handlers);
      return;
    }
    const tooLarge = new SallyportError(
      "frame_too_large",
      `message: larger than ${limits.messageBytes} bytes`,
    );
    this.#far?.over(errorOfClose(closeOf(tooLarge)));
    this.over(tooLarge);
  }

  get #isHeld(): boolean {
    return this.#stalled || this.#far?.paused === true;
  }

  #schedule(): void {
    const first = this.#sent[0];
    if (this.#cancelTurn !== undefined || this.#isHeld || first === undefined) return;
    const waitMs = first.due - performance.now();
    if (waitMs > 0) {
      const timer = setTimeout(() => this.#deliver(), waitMs);
      this.#cancelTurn = () => clearTimeout(timer);
    } else {
      const turn = setImmediate(() => this.#deliver());
      this.#cancelTurn = () => clearImmediate(turn);
    }
  }

  #deliver(): void {
    this.#cancelTurn = undefined;
    let bytes = 0;
    let next = this.#sent[0];
    while (next !== undefined && bytes < bytesPerTurn && next.due <= performance.now() && !this.#isHeld) {
      this.#sent.shift();
      bytes += next.bytes;
      this.#buffered -= next.bytes;
      if (this.#far !== undefined) next.arrive(this.#far);
      next = this.#sent[0];
    }
    if (bytes > 0) this.#handlers?.drained();
    this.#schedule();
  }
}

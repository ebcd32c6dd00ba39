import { ChunkQueue, deferred, type Deferred } from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import { encodeData, encodeFrame, limits, type Frame } from "../protocol/index.ts";
import type { OutgoingStream } from "./contract.ts";
import { SendWindow } from "./credit.ts";
import type { FrameSource } from "./scheduler.ts";

/** What a stream asks of its channel. */
export interface OutgoingPort {
  /** There is something to take with `nextFrame`. */
  wake(source: FrameSource): void;
  /** Sends a frame ahead of all data. */
  control(frame: Frame): void;
  /** No more frame will be sent; `answered` when the far end knows of it too. */
  over(id: number, answered: boolean): void;
}

const noBytes = new Uint8Array(0);
const admitted = Promise.resolve();

interface PendingWrite {
  bytes: Uint8Array;
  /** how much of `bytes` has its place in the window */
  admitted: number;
  done: Deferred<void>;
}

/** Sends what its window allows; holds no bytes but those its callers wait for and one window beyond. */
export class Outgoing implements OutgoingStream, FrameSource {
  readonly id: number;
  readonly #port: OutgoingPort;
  readonly #window = new SendWindow(limits.streamWindow);
  readonly #finished = deferred<void>();
  readonly #listeners: ((granted: number) => void)[] = [];
  /** waiting for the window */
  #writes: PendingWrite[] = [];
  /** inside the window, waiting for the wire */
  readonly #ready = new ChunkQueue();
  #state: "open" | "ending" | "ended" | "over" = "open";
  #failure: SallyportError | undefined;

  constructor(port: OutgoingPort, id: number) {
    this.#port = port;
    this.id = id;
  }

  get granted(): number {
    return this.#window.granted;
  }

  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#hasRoomFor(bytes.length)) {
      this.#window.take(bytes.length);
      this.#ready.push(bytes);
      this.#port.wake(this);
      return admitted;
    }
    const write: PendingWrite = { bytes, admitted: 0, done: deferred<void>() };
    if (this.#failure !== undefined) write.done.reject(this.#failure);
    else if (this.#state !== "open") write.done.reject(misuse(`write on stream ${this.id} after its end`));
    else {
      this.#writes.push(write);
      this.#admit();
    }
    return write.done.promise;
  }

  end(): void {
    if (this.#state !== "open") return;
    this.#state = "ending";
    this.#port.wake(this);
  }

  reset(reason: SallyportError): void {
    if (this.#state === "over") return;
    this.fail(
      new SallyportError("stream_reset", `stream ${this.id} was given up here: ${reason.message}`, {
        cause: reason,
      }),
    );
    this.#port.control({ type: "reset", stream: this.id, error: reason });
    this.#port.over(this.id, false);
  }

  onGrant(listener: (granted: number) => void): void {
    this.#listeners.push(listener);
  }

  nextFrame(): Uint8Array | undefined {
    if (!this.#ready.isEmpty) return this.#dataFrame();
    if (this.#state !== "ending" || this.#writes.length > 0) return undefined;
    this.#state = "ended";
    return encodeFrame({ type: "end", stream: this.id });
  }

  /** The far end is done with `bytes` more. */
  credited(bytes: number): void {
    this.#window.grant(bytes);
    this.#admit();
    for (const listener of this.#listeners) listener(this.granted);
  }

  /** The far end has all of it. Throws `protocol_violation` when it cannot. */
  done(): void {
    if (this.#state !== "ended") {
      throw new SallyportError("protocol_violation", `stream ${this.id} was finished before its end`);
    }
    this.#state = "over";
    this.#listeners.length = 0;
    this.#finished.resolve();
  }

  /** Nothing more can be sent; everything that waits is rejected with `reason`. */
  fail(reason: SallyportError): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#failure = reason;
    this.#ready.clear();
    this.#listeners.length = 0;
    for (const write of this.#writes.splice(0)) write.done.reject(reason);
    this.#finished.reject(reason);
  }

  /** Something can go at once, behind nothing that waits. */
  #hasRoomFor(bytes: number): boolean {
    const isFree = this.#state === "open" && this.#writes.length === 0;
    return isFree && bytes > 0 && bytes <= this.#window.available;
  }

  /** Gives the window to the writes in their order. */
  #admit(): void {
    let write = this.#writes[0];
    while (write !== undefined) {
      const wanted = write.bytes.length - write.admitted;
      const taken = this.#window.take(wanted);
      if (taken > 0) this.#ready.push(write.bytes.subarray(write.admitted, write.admitted + taken));
      write.admitted += taken;
      if (taken < wanted) break;
      write.done.resolve();
      this.#writes.shift();
      write = this.#writes[0];
    }
    this.#port.wake(this);
  }

  /**
   * As much as fits one frame, so that many small writes share one. A write is cut only when it is larger than a frame, so that
   * what was written whole mostly arrives whole.
   */
  #dataFrame(): Uint8Array {
    const parts: Uint8Array[] = [];
    let size = 0;
    do {
      const part = this.#ready.take(limits.frameBytes) ?? noBytes;
      parts.push(part);
      size += part.length;
    } while (!this.#ready.isEmpty && size + this.#ready.nextLength <= limits.frameBytes);
    return encodeData(this.id, parts, size);
  }
}

function misuse(what: string): SallyportError {
  return new SallyportError("internal", what);
}

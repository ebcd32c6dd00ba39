/** The streams of one channel: their ids, how many there may be, and which frame belongs to which. */
import { SallyportError } from "../errors.ts";
import { encodeFrame, limits, maxStreamId, type Frame } from "../protocol/index.ts";
import { Incoming } from "./incoming-stream.ts";
import { Outgoing } from "./outgoing-stream.ts";
import type { Scheduler } from "./scheduler.ts";

/** The dialler's streams have odd ids, the acceptor's even ones; each side counts up and uses none twice. */
export type Side = "dialler" | "acceptor";

interface StreamsDeps {
  scheduler: Scheduler;
  /** sends ahead of all data */
  sendNow(frame: Uint8Array): void;
}

/** This side gave the stream up, and the far end has not answered that yet: what still comes for it is dropped. */
const givenUp = Symbol("given up");

type Table<Accept> = Map<number, Outgoing | Incoming<Accept> | typeof givenUp>;

export class Streams<Accept> {
  readonly #deps: StreamsDeps;
  readonly #outgoing = new Map<number, Outgoing | typeof givenUp>();
  readonly #incoming = new Map<number, Incoming<Accept> | typeof givenUp>();
  #nextId: number;
  #lastAccepted: number;

  constructor(deps: StreamsDeps, side: Side) {
    this.#deps = deps;
    this.#nextId = side === "dialler" ? 1 : 2;
    this.#lastAccepted = side === "dialler" ? 0 : -1;
  }

  /** Throws `capacity_exhausted` when too many are open, or the channel's ids are used up. */
  open(): Outgoing {
    if (this.#outgoing.size >= limits.streams || this.#nextId > maxStreamId) {
      throw new SallyportError("capacity_exhausted", "no further stream can be opened on this channel", {
        details: { open: this.#outgoing.size, limit: limits.streams },
      });
    }
    const stream = new Outgoing(
      {
        wake: (source) => this.#deps.scheduler.wake(source),
        control: (frame) => this.#deps.sendNow(encodeFrame(frame)),
        over: (id, answered) => this.#over(this.#outgoing, id, answered),
      },
      this.#nextId,
    );
    this.#nextId += 2;
    this.#outgoing.set(stream.id, stream);
    return stream;
  }

  /** Throws `protocol_violation` for an id the far end may not use, or one stream too many. */
  accept(id: number, meta: Accept): Incoming<Accept> {
    if (id <= this.#lastAccepted || (id - this.#lastAccepted) % 2 !== 0 || id > maxStreamId) {
      throw violation(`stream.open: the far end may not open stream ${id}`);
    }
    if (this.#incoming.size >= limits.streams) {
      throw violation(`stream.open: more than ${limits.streams} streams`);
    }
    this.#lastAccepted = id;
    const stream = new Incoming<Accept>(
      {
        control: (frame) => this.#deps.sendNow(encodeFrame(frame)),
        over: (over, answered) => this.#over(this.#incoming, over, answered),
      },
      id,
      meta,
    );
    this.#incoming.set(id, stream);
    return stream;
  }

  /** Throws `protocol_violation` when the frame does not fit the state its stream is in. */
  receive(frame: Frame): void {
    const ours = frame.stream % 2 === this.#nextId % 2;
    if (ours) this.#receiveForOutgoing(frame);
    else this.#receiveForIncoming(frame);
  }

  /** Ends every stream with `reason`. */
  fail(reason: SallyportError): void {
    for (const stream of [...this.#outgoing.values(), ...this.#incoming.values()]) {
      if (stream !== givenUp) stream.fail(reason);
    }
    this.#outgoing.clear();
    this.#incoming.clear();
  }

  #receiveForOutgoing(frame: Frame): void {
    const stream = this.#outgoing.get(frame.stream);
    if (frame.type === "reset") {
      this.#resetReceived(this.#outgoing, frame, frame.stream < this.#nextId);
    } else if (stream === undefined || frame.type === "data" || frame.type === "end") {
      throw violation(`frame: ${frame.type} for stream ${frame.stream}, which does not take it`);
    } else if (frame.type === "done") {
      if (stream !== givenUp) stream.done();
      this.#outgoing.delete(frame.stream);
    } else if (stream !== givenUp) stream.credited(frame.bytes);
  }

  #receiveForIncoming(frame: Frame): void {
    const stream = this.#incoming.get(frame.stream);
    if (frame.type === "reset") {
      this.#resetReceived(this.#incoming, frame, frame.stream <= this.#lastAccepted);
    } else if (stream === undefined || frame.type === "credit" || frame.type === "done") {
      throw violation(`frame: ${frame.type} for stream ${frame.stream}, which does not take it`);
    } else if (stream === givenUp) {
      // sent before the far end learned that nobody reads it
    } else if (frame.type === "data") stream.received(frame.payload);
    else stream.endReceived();
  }

  /** A reset is answered with one, unless it is itself the answer or the stream was finished meanwhile. */
  #resetReceived(table: Table<Accept>, frame: Extract<Frame, { type: "reset" }>, known: boolean): void {
    const stream = table.get(frame.stream);
    if (stream === undefined && !known) throw violation(`frame: reset for unknown stream ${frame.stream}`);
    table.delete(frame.stream);
    if (stream === undefined || stream === givenUp) return;
    const message = `the far end gave up stream ${frame.stream}: ${frame.error.message}`;
    const details = { reason: frame.error.toWire() };
    stream.fail(new SallyportError("stream_reset", message, { details, cause: frame.error }));
    if (stream instanceof Outgoing) this.#deps.scheduler.forget(stream);
    this.#deps.sendNow(encodeFrame({ type: "reset", stream: frame.stream, error: frame.error }));
  }

  #over(table: Table<Accept>, id: number, answered: boolean): void {
    const stream = table.get(id);
    if (answered) table.delete(id);
    else table.set(id, givenUp);
    if (stream instanceof Outgoing) this.#deps.scheduler.forget(stream);
  }
}

function violation(reason: string): SallyportError {
  return new SallyportError("protocol_violation", reason);
}

/**
 * One live connection between two of our processes, as typed messages and credited streams. Control messages never wait
 * behind stream data; each stream has its own window, so a slow reader stalls only itself.
 */
import type { SallyportError } from "../errors.ts";

/** How one side reads what the other says; throws `protocol_violation` naming what is wrong. */
export interface Dialect<In, Accept> {
  message(json: unknown): In;
  stream(json: unknown): Accept;
}

/** `Out`/`In`: control messages sent and received. `Open`/`Accept`: descriptions of streams opened here and there. */
export interface Channel<Out, In, Open, Accept> extends AsyncDisposable {
  /** address of the far end, for logs */
  readonly peer: string;
  /** bytes handed over that have not left yet */
  readonly unsent: number;
  /** Queues a control message; a no-op once the channel is closed (the loss shows in `closed`). Throws `frame_too_large`. */
  send(message: Out): void;
  /** Opens a stream towards the far end. Throws `channel_closed`, or `capacity_exhausted` when too many are open. */
  open(meta: Open): OutgoingStream;
  /**
   * Starts delivery; called once. Messages come in order, one at a time; what arrived before is held for it. A handler that throws
   * a `SallyportError` closes the channel with it. One that is not done with its message yet returns when it will be: while too many
   * are not, nothing more is read from the far end, be it stream data or control.
   */
  listen(handlers: ChannelHandlers<In, Accept>): void;
  /** Resolves when the channel is over, with the reason (also when this side closed it); never rejects. */
  readonly closed: Promise<SallyportError>;
  /** Flushes control messages, tells the far end why, and closes. Idempotent. */
  close(reason: SallyportError): Promise<void>;
  /** Cuts at once without a word, as a broken network would. */
  abort(reason: SallyportError): void;
}

export interface ChannelHandlers<In, Accept> {
  message(message: In): Promise<void> | void;
  stream(stream: IncomingStream<Accept>): void;
}

export interface OutgoingStream {
  readonly id: number;
  /**
   * Resolves once all of `bytes` fits the window and is queued for the wire; rejects with `stream_reset` or `channel_closed`. The
   * bytes must not be changed afterwards: they are copied only when their turn on the wire comes.
   */
  write(bytes: Uint8Array): Promise<void>;
  /** No more data will come. */
  end(): void;
  /** Gives up the stream, telling the far end why. */
  reset(reason: SallyportError): void;
  /** bytes granted back by the far end, that is: done with over there */
  readonly granted: number;
  /** Called with the new `granted` at every grant. */
  onGrant(listener: (granted: number) => void): void;
  /** Resolves when the far end called `finish`; rejects with `stream_reset` or `channel_closed`. */
  readonly finished: Promise<void>;
}

export interface IncomingStream<Accept> {
  readonly id: number;
  readonly meta: Accept;
  /** Chunks in order; ends at the far end's `end`; throws `stream_reset` or `channel_closed`. Consumed once. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** It does not come to its end: `chunks` throws. */
  readonly broken: boolean;
  /** Tells the far end that `bytes` more are done with, and lets it send as many again. */
  grant(bytes: number): void;
  /** Tells the far end that all of it arrived and is safe; resolves its `finished`. Only after `chunks` has ended. */
  finish(): void;
  /** Gives up the stream, telling the far end why. Each stream must be finished or reset, or it counts as open for ever. */
  reset(reason: SallyportError): void;
}

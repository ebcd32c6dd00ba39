import { deferred, withDeadline } from "../async/index.ts";
import { isError, SallyportError } from "../errors.ts";
import type { Log } from "../log.ts";
import { decodeFrame } from "../protocol/index.ts";
import { Backlog } from "./backlog.ts";
import { outward } from "./close-codes.ts";
import type { Channel, ChannelHandlers, Dialect, OutgoingStream } from "./contract.ts";
import { asStreamOpen, decodeControl, encodeControl, encodeStreamOpen } from "./control.ts";
import { Held } from "./held.ts";
import { defaultKeepalive, Keepalive, type KeepaliveOptions } from "./keepalive.ts";
import { Scheduler } from "./scheduler.ts";
import { Streams, type Side } from "./streams.ts";
import type { Transport } from "./transport.ts";

/** what may wait in the transport before the far end counts as not reading, bytes */
const maxUnsent = 32 * 2 ** 20;
/** how long the far end has to take part in closing, `ms` */
const closeWithinMs = 2_000;

export interface LiveChannelDeps<In, Accept> {
  transport: Transport;
  dialect: Dialect<In, Accept>;
  log: Log;
}

export interface LiveChannelOptions {
  side: Side;
  keepalive?: KeepaliveOptions | undefined;
}

/** A channel over any transport. Once it is over, whatever its reason, it holds no timer, stream or listener. */
export class LiveChannel<Out, In, Open, Accept> implements Channel<Out, In, Open, Accept> {
  readonly closed: Promise<SallyportError>;
  readonly #transport: Transport;
  readonly #dialect: Dialect<In, Accept>;
  readonly #log: Log;
  readonly #keepalive: Keepalive;
  readonly #scheduler: Scheduler;
  readonly #streams: Streams<Accept>;
  readonly #held = new Held<ChannelHandlers<In, Accept>>();
  readonly #backlog: Backlog;
  readonly #over = deferred<SallyportError>();
  /** set as soon as this side ends it, or learns that it ended */
  #reason: SallyportError | undefined;

  constructor(deps: LiveChannelDeps<In, Accept>, options: LiveChannelOptions) {
    this.#transport = deps.transport;
    this.#dialect = deps.dialect;
    this.#log = deps.log;
    this.closed = this.#over.promise;
    this.#scheduler = new Scheduler(deps.transport);
    this.#backlog = new Backlog(deps.transport);
    this.#streams = new Streams<Accept>(
      {
        scheduler: this.#scheduler,
        sendNow: (frame) => this.#sendNow(frame.length, () => this.#transport.sendBinary(frame)),
      },
      options.side,
    );
    this.#keepalive = new Keepalive(
      deps.transport,
      () => this.abort(new SallyportError("channel_closed", `nothing came from ${this.peer} any more`)),
      options.keepalive ?? defaultKeepalive,
    );
    deps.transport.attach({
      text: (text) => this.#guard(() => this.#textReceived(text)),
      binary: (bytes) => this.#guard(() => this.#streams.receive(decodeFrame(bytes))),
      drained: () => this.#scheduler.pump(),
      closed: (reason) => this.#end(reason),
    });
  }

  get peer(): string {
    return this.#transport.peer;
  }

  get unsent(): number {
    return this.#transport.buffered;
  }

  send(message: Out): void {
    const text = encodeControl(message);
    this.#sendNow(text.length, () => this.#transport.sendText(text));
  }

  open(meta: Open): OutgoingStream {
    if (this.#reason !== undefined) throw closedBy(this.#reason);
    const stream = this.#streams.open();
    const text = encodeStreamOpen(stream.id, meta);
    this.#sendNow(text.length, () => this.#transport.sendText(text));
    return stream;
  }

  listen(handlers: ChannelHandlers<In, Accept>): void {
    this.#guard(() => this.#held.release(handlers));
  }

  async close(reason: SallyportError): Promise<void> {
    if (this.#reason === undefined) {
      this.#settle(reason);
      this.#transport.close(reason);
      try {
        await withDeadline(this.closed, closeWithinMs, `closing the channel to ${this.peer}`);
      } catch (error) {
        this.#log.debug({ peer: this.peer, err: error }, "channel cut, the far end did not answer its close");
        this.abort(reason);
      }
    }
    await this.closed;
  }

  abort(reason: SallyportError): void {
    this.#settle(reason);
    this.#transport.terminate();
    this.#end(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close(new SallyportError("channel_closed", "the channel was closed on purpose"));
  }

  #textReceived(text: string): void {
    const control = decodeControl(text);
    if (control.type !== "stream.open") {
      const message = this.#dialect.message(control);
      this.#held.deliver(
        (handlers) => this.#backlog.add(handlers.message(message), text.length),
        text.length,
      );
      return;
    }
    const { stream: id, meta } = asStreamOpen(control);
    const stream = this.#streams.accept(id, this.#dialect.stream(meta));
    this.#held.deliver((handlers) => handlers.stream(stream), text.length);
  }

  /** Control skips the data lane. A far end that reads nothing while it makes us answer is cut off. */
  #sendNow(bytes: number, send: () => void): void {
    if (this.#reason !== undefined) return;
    if (this.#transport.buffered + bytes > maxUnsent) {
      this.abort(new SallyportError("channel_closed", `${this.peer} does not read what it is sent`));
      return;
    }
    send();
  }

  /** Runs what the far end's bytes set off; an error there ends the channel. */
  #guard(act: () => void): void {
    if (this.#reason !== undefined) return;
    try {
      act();
    } catch (error) {
      if (!isError(error)) this.#log.error({ peer: this.peer, err: error }, "channel handler failed");
      void this.close(outward(error));
    }
  }

  /** The first reason stays the reason. */
  #end(reason: SallyportError): void {
    this.#settle(reason);
    this.#over.resolve(this.#reason ?? reason);
  }

  /** Everything that waits on the channel is told now, once. The far end's part in closing is read whatever still waits here. */
  #settle(reason: SallyportError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#keepalive[Symbol.dispose]();
    this.#held.clear();
    this.#transport.resume();
    this.#streams.fail(closedBy(reason));
  }
}

/** What streams and callers get: the channel is over, and why. */
function closedBy(reason: SallyportError): SallyportError {
  if (reason.code === "channel_closed") return reason;
  return new SallyportError("channel_closed", `the channel is over: ${reason.message}`, {
    details: { reason: reason.toWire() },
    cause: reason,
  });
}

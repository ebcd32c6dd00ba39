import { deferred, Notifier } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import type { GuestLink } from "../contract.ts";
import {
  encodeFrame,
  firstGuestId,
  FrameDecoder,
  guestFrames,
  protocolVersion,
  violation,
  type Frame,
} from "./codec.ts";

/** One call under way: an exec, a file call or a stream. */
export interface Call {
  /** Takes a frame about this call and says whether it was the last one; throws `guest_violation`. */
  receive(frame: Frame): "open" | "over";
  /** The conversation ended first. */
  fail(error: SallyportError): void;
}

/** Makes the call for a connection that the guest accepted at `port`; throws `guest_violation`. */
export type Accept = (id: number, port: number) => Call;

/** Frames a guest may leave unread: far more than its live calls give reason to send, each of which costs memory here */
const maxUnread = 16_384;

/** The framed conversation over one link: who is asked what under which id, and how it ends. */
export class GuestConnection {
  readonly #link: GuestLink;
  readonly #calls = new Map<number, Call>();
  readonly #hello = deferred<void>();
  readonly #closed = deferred<Error | undefined>();
  readonly #drained = new Notifier();
  #lastId = 0;
  #unread = 0;
  #accept: Accept | undefined;
  #lastGuestId = firstGuestId - 1;
  #end: SallyportError | undefined;

  constructor(link: GuestLink) {
    this.#link = link;
    const decoder = new FrameDecoder((frame) => this.#receive(frame));
    const { stream } = link;
    stream.on("data", (chunk: Buffer) => {
      if (this.#end !== undefined) return;
      try {
        decoder.push(chunk);
      } catch (error) {
        const breach = SallyportError.from(error, "internal");
        this.#finish(breach, breach);
      }
    });
    stream.on("drain", () => this.#drained.notify());
    stream.on("end", () => this.#lose("the guest went away"));
    stream.on("close", () => this.#lose("the link to the guest was closed"));
    stream.on("error", (error: Error) => this.#lose("the link to the guest broke", error));
  }

  /** Resolves with the guest's hello; rejects when the conversation ends first. */
  get hello(): Promise<void> {
    return this.#hello.promise;
  }

  get closed(): Promise<Error | undefined> {
    return this.#closed.promise;
  }

  /** An id for a call that is about to begin with a frame under it. Throws what ended the conversation. */
  register(call: Call): number {
    if (this.#end !== undefined) throw this.#end;
    this.#lastId += 1;
    this.#calls.set(this.#lastId, call);
    return this.#lastId;
  }

  /** Who takes the connections the guest accepts; until somebody does they are a breach. */
  onAccepted(accept: Accept): void {
    this.#accept = accept;
  }

  /** Says something; nothing happens once the conversation is over. */
  send(type: number, id: number, payload?: Uint8Array): void {
    if (this.#end !== undefined) return;
    if (this.#unread === maxUnread) {
      const breach = violation("it goes on speaking and reads nothing");
      this.#finish(breach, breach);
      return;
    }
    this.#unread += 1;
    this.#link.stream.write(encodeFrame(type, id, payload), () => (this.#unread -= 1));
  }

  /** True while the link takes no more */
  get full(): boolean {
    return this.#link.stream.writableNeedDrain;
  }

  /** Resolves when the link takes more, so that bulk data never piles up before control frames. */
  async writable(): Promise<void> {
    while (this.#end === undefined && this.full) await this.#drained.wait();
  }

  close(): void {
    this.#lose("the conversation with the guest was closed");
  }

  #receive(frame: Frame): void {
    if (this.#end !== undefined) return;
    if (frame.type === guestFrames.hello) {
      this.#greet(frame);
      return;
    }
    if (!this.#hello.settled) throw violation("it spoke before its hello");
    if (frame.type === guestFrames.accepted) {
      this.#adopt(frame);
      return;
    }
    const call = this.#calls.get(frame.id);
    if (call === undefined) throw violation(`frame of type ${frame.type} for an id that is not in use`);
    if (call.receive(frame) === "over") this.#calls.delete(frame.id);
  }

  #adopt({ id, payload }: Frame): void {
    if (this.#accept === undefined) throw violation("a connection nobody listens for");
    if (id <= this.#lastGuestId) throw violation(`a connection under id ${id}`);
    this.#lastGuestId = id;
    this.#calls.set(id, this.#accept(id, payload.readUInt16BE(0)));
  }

  #greet(frame: Frame): void {
    if (this.#hello.settled) throw violation("a second hello");
    const version = frame.payload.readUInt16BE(0);
    if (version !== protocolVersion)
      throw violation(`version ${version}, this host speaks ${protocolVersion}`);
    this.#hello.resolve();
  }

  #lose(why: string, cause?: Error): void {
    if (this.#end !== undefined) return;
    const said = this.#link.diagnostics();
    const details = said === "" ? {} : { diagnostics: said };
    this.#finish(new SallyportError("sandbox_lost", why, { details, cause }), undefined);
  }

  #finish(end: SallyportError, outcome: Error | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    for (const call of this.#calls.values()) call.fail(end);
    this.#calls.clear();
    this.#hello.reject(end);
    this.#drained.notify();
    this.#link.stream.destroy();
    this.#closed.resolve(outcome);
  }
}

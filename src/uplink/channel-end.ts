import type { Duplex } from "node:stream";
import { Notifier } from "../async/index.ts";
import { byteDuplex, ByteStreams, type IncomingStream, type WorkerChannel } from "../channel/index.ts";
import type { BytePair } from "../channel/index.ts";
import type { OfferedRoute, TunnelReply, TunnelStream } from "../protocol/index.ts";

/** The byte streams of one channel, and which routes were told on it. */
export class ChannelEnd {
  readonly #channel: WorkerChannel;
  readonly #streams: ByteStreams;
  readonly #open = new Set<Duplex>();
  readonly #closed = new Notifier();
  #told: string;

  constructor(channel: WorkerChannel, told: readonly OfferedRoute[]) {
    this.#channel = channel;
    this.#streams = new ByteStreams(channel);
    this.#told = JSON.stringify(told);
  }

  get active(): number {
    return this.#open.size;
  }

  /** Tells the hub, unless it knows. */
  tell(routes: OfferedRoute[]): void {
    const text = JSON.stringify(routes);
    if (text === this.#told) return;
    this.#told = text;
    this.#channel.send({ type: "routes", routes });
  }

  async open(meta: TunnelStream, signal: AbortSignal): Promise<Duplex> {
    return this.#keep(await this.#streams.open(meta, signal));
  }

  accept(stream: IncomingStream<TunnelStream>): Duplex {
    return this.#keep(this.#streams.accept(stream));
  }

  replied(stream: IncomingStream<TunnelReply>): void {
    this.#streams.replied(stream);
  }

  /** Resolves once no byte stream is open. */
  async quiet(): Promise<void> {
    while (this.#open.size > 0) await this.#closed.wait();
  }

  #keep(pair: BytePair): Duplex {
    const bytes = byteDuplex(pair);
    this.#open.add(bytes);
    bytes.once("close", () => {
      this.#open.delete(bytes);
      this.#closed.notify();
    });
    return bytes;
  }
}

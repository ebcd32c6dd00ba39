import { ByteStreams, type BytePair, type HubChannel, type IncomingStream } from "../../channel/index.ts";
import type { TunnelReply, TunnelStream, WorkerStream } from "../../protocol/index.ts";

/** A connection that may offer routes, and may ask for connections to those of others. */
export class Offerer {
  /** of the worker or connector */
  readonly id: string;
  /** `worker w1`, `connector c1` */
  readonly label: string;
  readonly channel: HubChannel;
  /** byte streams that go to it */
  active = 0;
  draining = false;
  readonly #streams: ByteStreams;

  constructor(channel: HubChannel, { id, kind }: { id: string; kind: "worker" | "connector" }) {
    this.id = id;
    this.label = `${kind} ${id}`;
    this.channel = channel;
    this.#streams = new ByteStreams(channel);
  }

  async open(meta: TunnelStream, signal: AbortSignal): Promise<BytePair> {
    return await this.#streams.open(meta, signal);
  }

  accept(stream: IncomingStream<TunnelStream>): BytePair {
    return this.#streams.accept(stream);
  }

  replied(stream: IncomingStream<TunnelReply>): void {
    this.#streams.replied(stream);
  }
}

export function isTunnel(stream: IncomingStream<WorkerStream>): stream is IncomingStream<TunnelStream> {
  return stream.meta.kind === "tunnel";
}

export function isReply(stream: IncomingStream<WorkerStream>): stream is IncomingStream<TunnelReply> {
  return stream.meta.kind === "tunnel.reply";
}

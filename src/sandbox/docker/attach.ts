/**
 * The attach connection of a container as the link to its guest. The engine multiplexes the container's stdout and
 * stderr as `stream u8 · 0 0 0 · length u32be · payload`
 * (https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach).
 */
import { Duplex } from "node:stream";
import { SallyportError } from "../../errors.ts";
import type { GuestLink } from "../contract.ts";

const headerBytes = 8;
const diagnosticsBytes = 16 * 1024;
const streamStderr = 2;

/** Cuts the multiplexed stream into payloads, without copying them. */
export class Demux {
  readonly #header = Buffer.alloc(headerBytes);
  #headerFilled = 0;
  #stream = 0;
  #left = 0;

  /** Calls `take` for each piece of payload in `chunk`; throws `guest_violation` for an unknown stream. */
  feed(chunk: Buffer, take: (stream: number, payload: Buffer) => void): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left === 0) {
        at += this.#readHeader(chunk, at);
        continue;
      }
      const end = Math.min(chunk.length, at + this.#left);
      this.#left -= end - at;
      take(this.#stream, chunk.subarray(at, end));
      at = end;
    }
  }

  #readHeader(chunk: Buffer, at: number): number {
    const taken = chunk.copy(this.#header, this.#headerFilled, at, at + headerBytes - this.#headerFilled);
    this.#headerFilled += taken;
    if (this.#headerFilled < headerBytes) return taken;
    this.#headerFilled = 0;
    this.#stream = this.#header[0] ?? 0;
    if (this.#stream > streamStderr) {
      throw new SallyportError("guest_violation", `attach: unknown stream ${this.#stream}`);
    }
    this.#left = this.#header.readUInt32BE(4);
    return taken;
  }
}

/** The last bytes a guest wrote on its stderr. */
class Tail {
  #chunks: Buffer[] = [];
  #bytes = 0;

  add(chunk: Buffer): void {
    // a copy, so that a few words of diagnostics do not keep a whole network buffer alive
    this.#chunks.push(Buffer.from(chunk.subarray(-diagnosticsBytes)));
    this.#bytes += chunk.length;
    if (this.#bytes <= 2 * diagnosticsBytes) return;
    this.#chunks = [Buffer.concat(this.#chunks).subarray(-diagnosticsBytes)];
    this.#bytes = diagnosticsBytes;
  }

  text(): string {
    return Buffer.concat(this.#chunks).subarray(-diagnosticsBytes).toString("utf8");
  }
}

/** Wraps the hijacked connection; destroying the link's stream closes it, which ends the guest. */
export function createLink(socket: Duplex): GuestLink {
  const demux = new Demux();
  const tail = new Tail();
  const stream = new Duplex({
    read: () => void socket.resume(),
    write: (chunk: Buffer, _encoding, done) => void socket.write(chunk, done),
    writev: (chunks, done) => {
      socket.cork();
      chunks.forEach(({ chunk }, index) =>
        socket.write(chunk, index === chunks.length - 1 ? done : undefined),
      );
      socket.uncork();
    },
    final: (done) => void socket.end(done),
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  socket.on("data", (chunk: Buffer) => {
    try {
      demux.feed(chunk, (source, payload) => {
        if (source === streamStderr) tail.add(payload);
        else if (!stream.push(payload)) socket.pause();
      });
    } catch (error) {
      stream.destroy(error as Error);
    }
  });
  socket.on("end", () => stream.push(null));
  socket.on("error", (error) => stream.destroy(error));
  socket.on("close", () => stream.destroy());
  return { stream, diagnostics: () => tail.text() };
}

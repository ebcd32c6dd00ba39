/** Bodies as streams. */
import type { IncomingMessage } from "node:http";
import { Readable, type Duplex, type Writable } from "node:stream";

/** A body that is here as a whole. */
class WholeBody extends Readable {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    super({ read: () => undefined });
    this.bytes = bytes;
    if (bytes.length > 0) this.push(bytes);
    this.push(null);
  }
}

/** bytes that a message holds for whoever is to read it; most calls are smaller, and make their connection wait for nothing */
const heldBytes = 1_024;

/**
 * Lets each message that is read from `bytes` hold little: Node lets it hold as many bytes as its connection, and in pieces of one
 * byte those cost a hundred times as much.
 */
export function holdLittle(bytes: Duplex): void {
  Object.defineProperty(bytes, "readableHighWaterMark", { value: heldBytes });
}

/** A body of exactly these bytes. */
export function bytesBody(bytes: Uint8Array): Readable {
  return new WholeBody(bytes);
}

/**
 * The body of a message whose end has come already, as a whole; of any other the message itself. What a stream brings in one piece
 * is parsed before whoever waits for the head goes on, so most bodies of calls are here by then.
 */
export function arrivedBody(message: IncomingMessage): Readable {
  if (!message.complete || message.readableFlowing !== null || message.destroyed) return message;
  const first = read(message);
  if (first === null) return bytesBody(new Uint8Array());
  const parts = [first];
  for (let part = read(message); part !== null; part = read(message)) parts.push(part);
  return bytesBody(parts.length === 1 ? first : Buffer.concat(parts));
}

const read = (message: IncomingMessage): Buffer | null => message.read() as Buffer | null;

/** How long a body is that is here as a whole and that nobody has begun to read; null for any other. */
export function wholeLength(body: Readable): number | null {
  return isFresh(body) ? body.bytes.length : null;
}

/** Reads such a body at once, which costs a fraction of passing it on as a stream; null for any other, which is left as it is. */
export function takeWhole(body: Readable): Uint8Array | null {
  if (!isFresh(body)) return null;
  body.resume();
  return body.bytes;
}

const isFresh = (body: Readable): body is WholeBody =>
  body instanceof WholeBody && body.readableFlowing === null && !body.destroyed;

export interface PumpOptions {
  /** Told of each chunk before it is written */
  onChunk?: () => void;
}

/** A piece of fewer bytes costs more to hold than they do. */
const crumb = 512;

/**
 * Carries every chunk on at once, no faster than it is taken, and ends `to` with `from`. Rejects when `from` breaks off; `to` is
 * left as it is then. When `to` closes early, `from` is destroyed and the promise resolves: that is for the owner of `to` to see.
 */
export function pump(from: Readable, to: Writable, { onChunk }: PumpOptions = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    let over = false;
    const settle = (error?: Error): void => {
      if (over) return;
      over = true;
      to.off("drain", resume);
      to.off("close", closed);
      if (error === undefined) resolve();
      else reject(error);
    };
    const resume = (): void => void from.resume();
    const closed = (): void => {
      from.destroy();
      settle();
    };
    const broken = (): void => {
      if (!over) settle(new Error("the body broke off"));
    };
    from.on("error", settle);
    from.on("close", broken);
    from.on("end", () => {
      to.end();
      settle();
    });
    if (from.destroyed) return broken();
    to.on("drain", resume);
    to.on("close", closed);
    from.on("data", (chunk: Buffer) => {
      onChunk?.();
      if (over) return;
      // crumbs wait for those before them: only a stream that holds a large piece tells when it has room
      if (chunk.length < crumb && to.writableLength > crumb) {
        from.pause();
        to.write(chunk, resume);
      } else if (!to.write(chunk)) from.pause();
    });
  });
}

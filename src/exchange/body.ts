/** Bodies as streams. */
import { Readable, type Writable } from "node:stream";

/** A body of exactly these bytes. */
export function bytesBody(bytes: Uint8Array): Readable {
  const body = new Readable({ read: () => undefined });
  if (bytes.length > 0) body.push(bytes);
  body.push(null);
  return body;
}

export interface PumpOptions {
  /** Told of each chunk before it is written */
  onChunk?: () => void;
}

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
      if (!over && !to.write(chunk)) from.pause();
    });
  });
}

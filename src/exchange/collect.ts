/** Bodies read as a whole, up to a limit. */
import type { Readable } from "node:stream";
import { SallyportError } from "../errors.ts";
import { takeWhole, wholeLength } from "./body.ts";
import { Gathering } from "./gathering.ts";

export interface Collected {
  readonly bytes: Buffer;
  /** False where there is more than the limit; the source stands still then */
  readonly whole: boolean;
}

/** Reads `source` up to its end or until it is longer than `limit`. Rejects when it breaks. */
export async function collect(source: Readable, limit: number): Promise<Collected> {
  const length = wholeLength(source);
  const whole = length !== null && length <= limit ? takeWhole(source) : null;
  return whole === null ? await gathered(source, limit) : { bytes: asBuffer(whole), whole: true };
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function gathered(source: Readable, limit: number): Promise<Collected> {
  return new Promise((resolve, reject) => {
    const gathering = new Gathering();
    const settle = (finish: () => void): void => {
      source.off("data", data).off("end", end).off("error", fail).off("close", close);
      finish();
    };
    const data = (chunk: Buffer): void => {
      gathering.add(chunk);
      if (gathering.size <= limit) return;
      source.pause();
      settle(() => resolve({ bytes: gathering.take(), whole: false }));
    };
    const end = (): void => settle(() => resolve({ bytes: gathering.take(), whole: true }));
    const fail = (error: unknown): void => settle(() => reject(SallyportError.from(error, "stream_reset")));
    const close = (): void => fail(new SallyportError("stream_reset", "the body broke off"));
    source.on("data", data).on("end", end).on("error", fail).on("close", close);
    if (source.errored) fail(source.errored);
    else if (source.destroyed || source.readableEnded) close();
  });
}

/** A body of fewer bytes takes no room */
const littleBytes = 64 * 2 ** 10;

export interface Roomy {
  /** above 64 KiB */
  limit: number;
  /** bytes it is said to have; the limit where nothing is said */
  length?: number | undefined;
  /** Resolves once there is room for so many */
  enter: (bytes: number) => Promise<void>;
}

/** The same, but what is more than little is read only once there is room for it. */
export async function collectInRoom(
  source: Readable,
  { limit, length = limit, enter }: Roomy,
): Promise<Collected> {
  const begun = await collect(source, littleBytes);
  if (begun.whole) return begun;
  await enter(length);
  // its end may have come with the last piece
  if (source.readableEnded) return { bytes: begun.bytes, whole: begun.bytes.length <= limit };
  source.resume();
  const rest = await collect(source, Math.max(0, limit - begun.bytes.length));
  return { bytes: Buffer.concat([begun.bytes, rest.bytes]), whole: rest.whole };
}

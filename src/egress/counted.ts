/** Counts a body's bytes as they pass, no faster than they are taken. */
import { Readable } from "node:stream";
import { wholeLength } from "../exchange/index.ts";

/** `count` may throw: the reply breaks off with that then, here and where it came from, as of a call that may have been made. */
export function countedReply(body: Readable, count: (bytes: number) => void): Readable {
  const length = wholeLength(body);
  if (length === null) return counted(body, count, () => void body.destroy());
  try {
    count(length);
  } catch (error) {
    body.destroy(asError(error));
  }
  return body;
}

/**
 * The same for what a caller sends. A body that is here as a whole is refused with what `count` throws, before any of it is sent;
 * whoever gives up another leaves the caller's connection as it is: it still gets its reply.
 */
export function countedUpload(body: Readable, count: (bytes: number) => void): Readable {
  const length = wholeLength(body);
  if (length === null) return counted(body, count, () => void body.resume());
  count(length);
  return body;
}

function counted(body: Readable, count: (bytes: number) => void, giveUp: () => void): Readable {
  const passing = new Readable({
    // what waits is one piece, however small: `body` is where more of them wait
    highWaterMark: 1,
    read: () => void body.resume(),
    destroy: (error, done) => {
      body.off("data", pass);
      giveUp();
      done(error);
    },
  });
  const pass = (chunk: Buffer): void => {
    try {
      count(chunk.length);
    } catch (error) {
      passing.destroy(asError(error));
      return;
    }
    if (!passing.push(chunk)) body.pause();
  };
  body.pause();
  body.on("data", pass);
  body.once("end", () => passing.push(null));
  body.once("error", (error) => passing.destroy(error));
  body.once("close", () => {
    if (!body.readableEnded) passing.destroy(new Error("the body broke off"));
  });
  if (body.destroyed) passing.destroy(body.errored ?? new Error("the body broke off"));
  return passing;
}

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

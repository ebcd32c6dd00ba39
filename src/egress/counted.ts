/** Counts a body's bytes as they pass, no faster than they are taken. */
import { Readable } from "node:stream";
import { wholeLength } from "../exchange/index.ts";

/** `count` may throw: a body that is here as a whole is refused with that, any other breaks off, here and where it came from. */
export function countedReply(body: Readable, count: (bytes: number) => void): Readable {
  return countedWhole(body, count) ?? counted(body, count, () => void body.destroy());
}

/** The same for what a caller sends. Whoever gives it up leaves the caller's connection as it is: it still gets its reply. */
export function countedUpload(body: Readable, count: (bytes: number) => void): Readable {
  return countedWhole(body, count) ?? counted(body, count, () => void body.resume());
}

/** The body, counted at once; null where it is not here as a whole. */
function countedWhole(body: Readable, count: (bytes: number) => void): Readable | null {
  const length = wholeLength(body);
  if (length === null) return null;
  try {
    count(length);
    return body;
  } catch (error) {
    body.destroy();
    throw error;
  }
}

function counted(body: Readable, count: (bytes: number) => void, giveUp: () => void): Readable {
  const passing = new Readable({
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
      passing.destroy(error instanceof Error ? error : new Error(String(error)));
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

/** Counts a body's bytes as they pass, no faster than they are taken. */
import { pipeline, Readable, Transform } from "node:stream";

/** `count` may throw: the body breaks off with that then. The reply's end is the body's end, either way. */
export function countedReply(body: Readable, count: (bytes: number) => void): Readable {
  const counter = new Transform({
    transform: (chunk: Buffer, _encoding, done) =>
      done(
        attempt(() => count(chunk.length)),
        chunk,
      ),
  });
  pipeline(body, counter, () => undefined);
  return counter;
}

/** The same for what a caller sends. Whoever gives it up leaves the caller's connection as it is: it still gets its reply. */
export function countedUpload(body: Readable, count: (bytes: number) => void): Readable {
  const counted = new Readable({
    read: () => void body.resume(),
    destroy: (error, done) => {
      body.off("data", data);
      body.resume();
      done(error);
    },
  });
  const data = (chunk: Buffer): void => {
    const refusal = attempt(() => count(chunk.length));
    if (refusal !== null) counted.destroy(refusal);
    else if (!counted.push(chunk)) body.pause();
  };
  body.pause();
  body.on("data", data);
  body.once("end", () => counted.push(null));
  body.once("error", (error) => counted.destroy(error));
  body.once("close", () => {
    if (!body.readableEnded) counted.destroy(new Error("the caller went away"));
  });
  return counted;
}

function attempt(act: () => void): Error | null {
  try {
    act();
    return null;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

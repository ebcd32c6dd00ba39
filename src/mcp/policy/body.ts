import { Readable } from "node:stream";

/** What was collected, and whatever else `rest` brings. */
export function continued(bytes: Buffer, rest: Readable): Readable {
  return Readable.from(
    (async function* () {
      yield bytes;
      yield* rest;
    })(),
    { objectMode: false },
  );
}

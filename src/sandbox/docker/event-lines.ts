import type { Readable } from "node:stream";

/** The engine's events, a line of JSON each; throws what the subscription breaks with. */
export async function* eventLines(events: Readable): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of events.setEncoding("utf8")) {
    const lines = (rest + String(chunk)).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

/** Nothing depends on where the bytes of a body or a stream were cut. */
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import * as fc from "fast-check";
import { EventSplitter, readEvent } from "../../../src/mcp/policy/sse.ts";
import { callText, eventsAnswer, jsonAnswer, listText, rig } from "./rig.ts";

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const edges = [0, ...places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return edges.slice(1).map((end, at) => bytes.subarray(edges[at], end));
}

function pieces(chunks: readonly Buffer[]): Buffer[] {
  const splitter = new EventSplitter();
  const found = chunks.flatMap((chunk) => splitter.push(chunk));
  const rest = splitter.rest();
  return rest === undefined ? found : [...found, rest];
}

const dataOf = (found: readonly Buffer[]): string[] => found.flatMap((piece) => readEvent(piece).data ?? []);

const part = fc.oneof(
  fc.constantFrom(
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "\r\n\r\n",
    "data: ",
    "data",
    "data:{}",
    "id: 1",
    "event: x",
    ": c",
    "\uFEFF",
  ),
  fc.string({ unit: "grapheme", maxLength: 6 }),
);
const streams = fc.array(part, { maxLength: 40 }).map((parts) => Buffer.from(parts.join("")));
const places = fc.array(fc.nat(400), { maxLength: 20 });

test("the pieces of a stream are the stream, and its events are the same wherever it was cut", () => {
  fc.assert(
    fc.property(streams, places, (bytes, at) => {
      const found = pieces(cut(bytes, at));
      assert.deepEqual(Buffer.concat(found), bytes);
      assert.deepEqual(dataOf(found), dataOf(pieces([bytes])));
    }),
    { numRuns: 1_000 },
  );
});

test("an event is whole with its blank line, whatever ends its lines", () => {
  for (const end of ["\n", "\r", "\r\n"]) {
    const event = `id: 1${end}data: a${end}data: b${end}${end}`;
    const found = pieces([Buffer.from(event + event)]);
    assert.deepEqual(found.map(String), [event, event]);
    assert.deepEqual(readEvent(found[0] ?? Buffer.alloc(0)), {
      others: ["id: 1"],
      data: "a\nb",
      hasId: true,
      text: event,
    });
  }
});

const tools = ["search", "delete", "ü"].map((name) => ({ name }));
const list = JSON.stringify({ jsonrpc: "2.0", id: 1, result: { tools } });

test("a filtered stream is the same wherever it was cut", async () => {
  const stream = Buffer.from(
    `: hi\r\n\r\nid: 1\r\nevent: message\r\ndata: ${list}\r\n\r\ndata: {"a":"ü"}\n\n`,
  );
  const ask = async (chunks: Buffer[]): Promise<string> =>
    (await rig({ tools: ["search", "ü"], script: () => eventsAnswer(chunks) }).ask({ bytes: listText() }))
      .text;
  const whole = await ask([stream]);
  assert.ok(whole.includes('"ü"') && !whole.includes("delete"));
  await fc.assert(
    fc.asyncProperty(places, async (at) =>
      assert.equal(await ask(cut(stream, at).filter((chunk) => chunk.length > 0)), whole),
    ),
    { numRuns: 200 },
  );
});

test("a judged body and a filtered reply are the same wherever they were cut", async () => {
  const sent = Buffer.from(callText("ü", 1, { q: "äöü" }));
  const reply = Buffer.from(list);
  const split = (bytes: Buffer, at: readonly number[]): Readable =>
    Readable.from(
      cut(bytes, at).filter((chunk) => chunk.length > 0),
      { objectMode: false },
    );
  await fc.assert(
    fc.asyncProperty(places, async (at) => {
      const script = () => ({ ...jsonAnswer(""), body: split(reply, at) });
      const call = rig({ tools: ["ü"], script });
      await call.ask({ body: split(sent, at) });
      assert.deepEqual(call.sent[0]?.body, sent);
      const names = (await call.ask({ bytes: listText() })).json.result.tools.map(({ name }) => name);
      assert.deepEqual(names, ["ü"]);
    }),
    { numRuns: 100 },
  );
});

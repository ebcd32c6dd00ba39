import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { SseParser, type SseEvent } from "../../../src/client/index.ts";

const utf8 = new TextEncoder();

function parse(bytes: Uint8Array, cuts: readonly number[] = []): SseEvent[] {
  const parser = new SseParser();
  const edges = [0, ...[...cuts].sort((a, b) => a - b), bytes.length];
  return edges.slice(1).flatMap((end, at) => parser.push(bytes.subarray(edges[at], end)));
}

const parseText = (text: string): SseEvent[] => parse(utf8.encode(text));

test("an event is dispatched at its blank line, with name, data and id", () => {
  assert.deepEqual(parseText("id: 1:20\nevent: stdout\ndata: {}\n\n"), [
    { id: "1:20", event: "stdout", data: "{}" },
  ]);
});

test("lines may end in LF, CR or CRLF, mixed", () => {
  const expected = [
    { id: "", event: "a", data: "1" },
    { id: "", event: "message", data: "2" },
  ];
  for (const end of ["\n", "\r", "\r\n"]) {
    assert.deepEqual(parseText(`event: a${end}data: 1${end}${end}data: 2${end}${end}`), expected);
  }
  assert.deepEqual(parseText("event: a\rdata: 1\r\n\ndata: 2\n\r"), expected);
});

test("data lines are joined, one leading space is dropped, a field needs no colon", () => {
  assert.deepEqual(parseText("data:  a\ndata:b\ndata\n\n"), [{ id: "", event: "message", data: " a\nb\n" }]);
});

test("comments, unknown fields, ids with NUL and events without data are ignored", () => {
  assert.deepEqual(parseText(": awake\nretry: 1\nid: a\0b\nevent: x\n\nwhat: 1\ndata: d\n\n"), [
    { id: "", event: "message", data: "d" },
  ]);
});

test("an id stays until the next one, an unfinished event is dropped, a byte order mark is skipped", () => {
  assert.deepEqual(parseText("\uFEFFid: 7\ndata: a\n\ndata: b\n\ndata: c\n"), [
    { id: "7", event: "message", data: "a" },
    { id: "7", event: "message", data: "b" },
  ]);
});

test("an event without end is refused", () => {
  const parser = new SseParser();
  const part = utf8.encode(`data: ${"x".repeat(2 ** 20)}\n`);
  assert.throws(
    () => {
      for (let sent = 0; sent < 64; sent += 1) parser.push(part);
    },
    { code: "protocol_violation" },
  );
});

test("CRLF is one line end wherever the bytes are cut", () => {
  const bytes = utf8.encode("id: ü\r\ndata: a\r\ndata: b\r\n\r\nevent: x\r\ndata: c\r\n\r\n");
  const whole = parse(bytes);
  assert.deepEqual(
    whole.map((event) => event.data),
    ["a\nb", "c"],
  );
  for (let cut = 0; cut <= bytes.length; cut += 1) assert.deepEqual(parse(bytes, [cut]), whole);
});

const piece = fc.oneof(
  fc.constantFrom(
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "data: x\r\n",
    "data:",
    "data: ",
    "event: ",
    "id: ",
    ":",
    " ",
    "\0",
    "\uFEFF",
  ),
  fc.string({ unit: "binary", maxLength: 8 }),
);

test("the events do not depend on where the bytes were split", () => {
  const streams = fc.array(piece, { maxLength: 60 }).map((parts) => utf8.encode(parts.join("")));
  fc.assert(
    fc.property(streams, fc.array(fc.nat(200), { maxLength: 20 }), (bytes, cuts) => {
      const within = cuts.map((cut) => Math.min(cut, bytes.length));
      assert.deepEqual(parse(bytes, within), parse(bytes));
    }),
    { numRuns: 500 },
  );
});

test("any bytes give events or one typed error", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      for (const event of parse(bytes)) assert.equal(typeof event.data, "string");
    }),
  );
});

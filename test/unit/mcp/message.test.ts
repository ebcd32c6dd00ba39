import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { ambiguity, elements, members } from "../../../src/mcp/policy/json.ts";
import { readMessages } from "../../../src/mcp/policy/message.ts";

const read = (text: string | Buffer): ReturnType<typeof readMessages> =>
  readMessages(Buffer.from(text as string), "r");

/** Reads objects as a list of members, so that a reader of the first, the last or any of equal keys can be played. */
function reader(text: string, pick: "first" | "last", fold: boolean): unknown {
  let at = 0;
  const space = (): void => void (at += /^\s*/.exec(text.slice(at))?.[0].length ?? 0);
  const take = (pattern: RegExp): string => {
    const found = pattern.exec(text.slice(at))?.[0] ?? "";
    at += found.length;
    return found;
  };
  const value = (): unknown => {
    space();
    if (text[at] === "{") return object();
    if (text[at] === "[") return array();
    return JSON.parse(take(/^(?:"(?:\\.|[^"\\])*"|[^\s,\]}]+)/s));
  };
  const array = (): unknown[] => {
    const found: unknown[] = [];
    for (at += 1, space(); text[at] !== "]"; space()) {
      found.push(value());
      space();
      if (text[at] === ",") at += 1;
    }
    at += 1;
    return found;
  };
  const object = (): Map<string, unknown> => {
    const found = new Map<string, unknown>();
    for (at += 1, space(); text[at] !== "}"; space()) {
      const key = String(value());
      space();
      at += 1;
      const name = fold ? key.toLowerCase() : key;
      const next = value();
      if (pick === "last" || !found.has(name)) found.set(name, next);
      space();
      if (text[at] === ",") at += 1;
    }
    at += 1;
    return found;
  };
  return value();
}

const key = fc.constantFrom(
  "method",
  "Method",
  "params",
  "PARAMS",
  "name",
  "Name",
  "id",
  "jsonrpc",
  "arguments",
  "m\\u0065thod",
  "x",
);
const scalar = fc.constantFrom(
  '"tools/call"',
  '"search"',
  '"delete"',
  '"2.0"',
  "1",
  "null",
  '"ping"',
  '"\\u0064elete"',
);
const { node } = fc.letrec<{ node: string; object: string }>((tie) => ({
  node: fc.oneof({ maxDepth: 2 }, scalar, tie("object")),
  object: fc
    .array(fc.tuple(key, tie("node")), { maxLength: 4 })
    .map((pairs) => `{${pairs.map(([name, value]) => `"${name}": ${value}`).join(" ,")}}`),
}));
/** Messages with members doubled, renamed and swapped */
const messages = fc
  .array(fc.tuple(key, node), { maxLength: 4 })
  .chain((extra) =>
    fc.shuffledSubarray(
      [
        '"jsonrpc":"2.0"',
        '"id":1',
        '"method":"tools/call"',
        '"params":{"name":"search","arguments":{}}',
        ...extra.map(([name, value]) => `"${name}":${value}`),
      ],
      { minLength: 2 },
    ),
  )
  .map((parts) => `{${parts.join(",")}}`);

test("what can be read is read alike by those who take the first, the last, or any case of a key", () => {
  let calls = 0;
  fc.assert(
    fc.property(messages, (text) => {
      const reading = read(text);
      if (!reading.ok) return;
      const [message] = reading.messages;
      calls += message?.call === null ? 0 : 1;
      for (const pick of ["first", "last"] as const) {
        for (const fold of [true, false]) {
          const seen = reader(text, pick, fold) as Map<string, unknown>;
          assert.equal(seen.get("method"), message?.method ?? undefined);
          const name = (seen.get("params") as Map<string, unknown> | undefined)?.get("name");
          if (message?.call) assert.equal(name, message.call.tool);
        }
      }
    }),
    { numRuns: 3_000 },
  );
  assert.ok(calls > 20, `only ${calls} calls were read`);
});

test("any bytes are read or refused, and nothing is thrown", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      assert.equal(typeof read(Buffer.from(bytes)).ok, "boolean");
    }),
  );
  fc.assert(
    fc.property(fc.json(), fc.string(), (json, text) => {
      assert.equal(typeof read(json).ok, "boolean");
      assert.equal(typeof read(text).ok, "boolean");
    }),
  );
});

test("the places of members and elements are those of their values", () => {
  const spaced = fc.tuple(fc.jsonValue({ maxDepth: 3 }), fc.constantFrom(0, 1, "\t", "\r\n"));
  fc.assert(
    fc.property(spaced, ([value, space]) => {
      const text = JSON.stringify(value, null, space);
      assert.equal(ambiguity(text), null);
      if (Array.isArray(value)) {
        const found = elements(text, 0).map(({ from, to }) => JSON.parse(text.slice(from, to)) as unknown);
        assert.deepEqual(found, JSON.parse(text));
      } else if (typeof value === "object" && value !== null) {
        const found = [...members(text, 0)].map(([name, { from, to }]) => [
          name,
          JSON.parse(text.slice(from, to)),
        ]);
        assert.deepEqual(Object.fromEntries(found), JSON.parse(text));
      }
    }),
    { numRuns: 500 },
  );
});

test("a key that stands twice is found at any depth, however it is written", () => {
  for (const text of [
    '{"a":1,"a":1}',
    '[{"b":[{"a":1,"\\u0061":2}]}]',
    '{"a":{"x":1,"y":{},"x":[]}}',
    '{"":1,"":2}',
  ]) {
    assert.match(ambiguity(text) ?? "", /stands twice/);
  }
  assert.equal(ambiguity('{"a":{"a":[{"a":"a"},{"a":"\\"a\\":"}]},"b":"a"}'), null);
  assert.match(ambiguity("[".repeat(65)) ?? "", /too deep/);
});

const shape = (text: string): unknown => {
  const reading = read(text);
  return reading.ok && reading.messages.map(({ id, method }) => [id, method]);
};

test("requests, notifications and answers are told apart, whatever else they hold", () => {
  const [result, error] = ['{"jsonrpc":"2.0","id":1,"result":{}}', '{"jsonrpc":"2.0","id":1,"error":{}}'];
  const [ping, note] = ['{"jsonrpc":"2.0","id":1,"method":"ping"}', '{"jsonrpc":"2.0","method":"note"}'];
  assert.deepEqual(shape(result), [[1, null]]);
  assert.deepEqual(shape(error), [[1, null]]);
  assert.deepEqual(shape(`[${result},${ping}]`), [
    [1, null],
    [1, "ping"],
  ]);
  assert.deepEqual(shape(`[${note},${note}]`), [
    [null, "note"],
    [null, "note"],
  ]);
  const more = '{"jsonrpc":"2.0","id":1,"method":"tools/call","trace":1,"params":{"name":"s","task":{}}}';
  assert.deepEqual(shape(more), [[1, "tools/call"]]);
  for (const text of [
    '{"jsonrpc":"2.0","result":{}}',
    `[${ping},${ping}]`,
    '{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}',
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":""}}',
  ])
    assert.equal(shape(text), false, text);
});

test("arguments are the bytes of the body, in a batch and behind characters of several bytes too", () => {
  const text =
    '{"jsonrpc":"2.0","id":"ü","method":"tools/call","params":{"_meta":{"arguments":1},"arguments" : { "q" : "ä" } ,"name":"s"}}';
  const reading = read(text);
  assert.ok(reading.ok);
  assert.equal(Buffer.from(reading.messages[0]?.call?.arguments ?? []).toString(), '{ "q" : "ä" }');
  const batch = read(`[{"jsonrpc":"2.0","method":"note"}, ${text}]`);
  assert.ok(batch.ok);
  assert.equal(Buffer.from(batch.messages[1]?.call?.arguments ?? []).toString(), '{ "q" : "ä" }');
});

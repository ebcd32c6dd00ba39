import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { toolListDigest, ToolPin, type ToolDrift } from "../../../src/mcp/index.ts";

const tool = (name: string, description = ""): object => ({
  name,
  description,
  inputSchema: { type: "object" },
});
const whole = { first: true, last: true };

/** The same value with its keys in another order */
function turned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(turned);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, part]) => [key, turned(part)]),
  );
}

test("a digest does not depend on the order of tools or keys, and on everything else", () => {
  fc.assert(
    fc.property(fc.array(fc.dictionary(fc.string(), fc.jsonValue()), { minLength: 1 }), (tools) => {
      assert.equal(toolListDigest(tools.map(turned).toReversed()), toolListDigest(tools));
      assert.notEqual(toolListDigest([...tools, tool("one more")]), toolListDigest(tools));
    }),
  );
  assert.notEqual(toolListDigest([tool("a", "x")]), toolListDigest([tool("a", "y")]));
});

test("a list that stays the same passes, page by page or whole", () => {
  const pin = new ToolPin({ mode: "deny" });
  const pages = [
    [[tool("a")], { first: true, last: false }],
    [[tool("b")], { first: false, last: true }],
  ] as const;
  for (const round of [1, 2]) {
    for (const [tools, page] of pages)
      assert.deepEqual(pin.listed(tools, page), { allow: true }, String(round));
  }
  assert.deepEqual(pin.listed([turned(tool("b")), tool("a")], whole), { allow: true });
});

test("a list without an end is pinned so far only, and what comes then is drift", () => {
  const pin = new ToolPin({ mode: "deny" });
  const page = (at: number): object[] => Array.from({ length: 1_000 }, (_each, of) => tool(`${at} ${of}`));
  const verdicts = Array.from(
    { length: 12 },
    (_each, at) => pin.listed(page(at), { first: at === 0, last: false }).allow,
  );
  assert.deepEqual(verdicts, [...Array<boolean>(10).fill(true), false, false]);
  assert.equal(Object.keys(pin.state.tools).length, 10_000);
  const whole = new ToolPin({ mode: "deny" });
  const many = Array.from({ length: 11 }, (_each, at) => page(at)).flat();
  assert.equal(whole.listed(many, { first: true, last: true }).allow, true);
  assert.equal(Object.keys(whole.state.tools).length, 10_000);
  assert.equal(whole.listed(many, { first: true, last: true }).allow, false);
});

test("a drift names tools enough to look for, not all that a server thinks up", () => {
  const told: ToolDrift[] = [];
  const pin = new ToolPin({ mode: "warn", onDrift: (seen) => void told.push(seen) });
  pin.listed([tool("a")], whole);
  pin.listed(
    Array.from({ length: 1_000 }, (_each, at) => tool(`${at}`.padEnd(1_000, "x"))),
    whole,
  );
  assert.deepEqual([told.length, told[0]?.added.length, told[0]?.removed], [1, 32, ["a"]]);
  assert.equal(told[0]?.added[1], "1".padEnd(128, "x"));
});

test("a changed, added, doubled or removed tool is drift", () => {
  const drifts: [readonly object[], ToolDrift][] = [
    [[tool("a", "new"), tool("b")], { changed: ["a"], added: [], removed: [] }],
    [[tool("a"), tool("b"), tool("c")], { changed: [], added: ["c"], removed: [] }],
    [[tool("a"), tool("a", "twin"), tool("b")], { changed: ["a"], added: [], removed: [] }],
    [[tool("a")], { changed: [], added: [], removed: ["b"] }],
  ];
  for (const [tools, drift] of drifts) {
    const told: ToolDrift[] = [];
    const pin = new ToolPin({ mode: "deny", onDrift: (seen) => void told.push(seen) });
    pin.listed([tool("a"), tool("b")], whole);
    const verdict = pin.listed(tools, whole);
    assert.equal(!verdict.allow && verdict.code, "tools_changed");
    pin.listed(tools, whole);
    assert.deepEqual(told, [drift]);
    assert.deepEqual(pin.listed([tool("a"), tool("b")], whole), { allow: true });
  }
});

test("a pin that warns lets pass and tells; one that is off does neither", () => {
  for (const [mode, count] of [
    ["warn", 1],
    ["off", 0],
  ] as const) {
    const told: ToolDrift[] = [];
    const pin = new ToolPin({ mode, onDrift: (seen) => void told.push(seen) });
    pin.listed([tool("a")], whole);
    assert.deepEqual(pin.listed([tool("a", "new")], whole), { allow: true });
    assert.equal(told.length, count);
  }
});

test("a pin goes on from its state", () => {
  const pin = new ToolPin({ mode: "deny" });
  pin.listed([tool("a")], whole);
  const next = new ToolPin({ mode: "deny", from: JSON.parse(JSON.stringify(pin.state)) as typeof pin.state });
  assert.equal(next.listed([tool("a")], whole).allow, true);
  assert.equal(next.listed([tool("b")], whole).allow, false);
});

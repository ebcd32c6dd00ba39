/** What docs/operating.md names exists: an alert on a figure that is never told never fires. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { errorCodes } from "../../../src/errors.ts";
import { HubMetrics } from "../../../src/hub/metrics.ts";

const root = join(import.meta.dirname, "../../..");
const guide = readFileSync(join(root, "docs/operating.md"), "utf8");
const compose = readFileSync(join(root, "compose.yaml"), "utf8");

test("every figure an alert asks for is one that a hub tells", async () => {
  using metrics = new HubMetrics();
  const { text } = await metrics.render({ pools: [], workers: {}, held: 0, watched: 0 });
  const told = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
  const asked = [...guide.matchAll(/\bsallyport_[a-z_]+/g)].map(([name]) => name.replace(/_bucket$/, ""));
  assert.ok(asked.length >= 12);
  assert.deepEqual(
    asked.filter((name) => !told.has(name)),
    [],
  );
});

test("every reason against readiness is an error code", () => {
  const section = guide.split("## Readiness")[1]?.split("\n## ")[0] ?? "";
  const reasons = [...section.matchAll(/^\| `([a-z_]+)`/gm)].map(([, code = ""]) => code);
  assert.ok(reasons.length >= 5);
  assert.deepEqual(
    reasons.filter((code) => !(code in errorCodes)),
    [],
  );
});

test("every variable of compose.yaml is explained, and no other", () => {
  const read = new Set([...compose.matchAll(/\$\{([A-Z_]+)/g)].map(([, name = ""]) => name));
  read.delete("SALLYPORT_IMAGE");
  const table = guide.split("## Sizing")[0] ?? "";
  const named = new Set(
    [...table.matchAll(/^\| (`[^|]+`)/gm)].flatMap(([, cell = ""]) => cell.match(/[A-Z_]{3,}/g) ?? []),
  );
  assert.deepEqual([...named].sort(), [...read].sort());
});

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

const docs = new URL("../../docs/", import.meta.url);
const text = readFileSync(new URL("security.md", docs), "utf8");
const linked = [...text.matchAll(/\]\(([^)#]+)\)/g)].map(([, path]) => new URL(path ?? "", docs));

test("every file that the security document links to is there", () => {
  const missing = linked.filter((url) => !existsSync(url)).map((url) => url.pathname);
  assert.ok(linked.length > 10);
  assert.deepEqual(missing, []);
});

test("every escape test is the proof of a promise in the security document", () => {
  const folder = new URL("../escape/", import.meta.url);
  const tests = readdirSync(folder).filter((name) => name.endsWith(".test.ts"));
  const proved = linked.map((url) => url.pathname);
  assert.deepEqual(
    tests.filter((name) => !proved.includes(new URL(name, folder).pathname)),
    [],
  );
});

test("every guarantee has a proof, and no proof serves two", () => {
  const [, guarantees = ""] = text.split("## Guarantees");
  const rows = (guarantees.split("\n## ")[0] ?? "").split("\n").filter((line) => line.startsWith("| **"));
  const proofs = rows.map((row) => /test\/escape\/[\w-]+\.test\.ts/.exec(row)?.[0]);
  assert.ok(!proofs.includes(undefined));
  assert.equal(new Set(proofs).size, rows.length);
});

import assert from "node:assert/strict";
import { appendFile, cp, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { verifyAudit } from "../../../src/audit/index.ts";
import { writeLine } from "../../../src/audit/line.ts";
import { entry, folder } from "./rig.ts";

const lineFeed = 0x0a;

test("a log that nobody touched verifies, by folder and by file", async () => {
  await using at = await folder();
  await at.fill(5);
  const [file = ""] = await at.files();
  for (const path of [at.dir, join(at.dir, file)]) {
    const report = await verifyAudit(path);
    assert.deepEqual(
      [report.ok, report.lines, report.from, report.to, report.anchored],
      [true, 5, 1, 5, true],
    );
  }
  await cp(join(at.dir, file), join(at.dir, "copy.jsonl"));
  assert.equal((await verifyAudit(join(at.dir, "copy.jsonl"))).anchored, false, "no file of the log");
});

test("any one changed byte is found, in the line it is in", async () => {
  await using at = await folder();
  await at.fill(2);
  const [file = ""] = await at.files();
  const path = join(at.dir, file);
  const sound = await readFile(path);
  for (let place = 0; place < sound.length; place += 1) {
    const line = sound.subarray(0, place).filter((byte) => byte === lineFeed).length + 1;
    const bytes = Buffer.from(sound);
    bytes[place] = (bytes[place] ?? 0) ^ (0x01 << (place % 8));
    await writeFile(path, bytes);
    const { ok, fault } = await verifyAudit(at.dir);
    assert.deepEqual([ok, basename(fault?.file ?? ""), fault?.line], [false, file, line], `byte ${place}`);
  }
  await writeFile(path, sound);
  assert.equal((await verifyAudit(at.dir)).ok, true, "control");
});

test("any one changed byte of the head is found", async () => {
  await using at = await folder();
  await at.fill(6, { maxBytes: 700, keep: 2 });
  const path = join(at.dir, "audit.head");
  const sound = await readFile(path);
  for (let place = 0; place < sound.length; place += 1) {
    const bytes = Buffer.from(sound);
    bytes[place] = (bytes[place] ?? 0) ^ 0x01;
    await writeFile(path, bytes);
    assert.equal((await verifyAudit(at.dir)).ok, false, `byte ${place}: ${bytes.toString()}`);
  }
});

test("lines that are taken out, put in, doubled or moved are found where it happened", async () => {
  await using at = await folder();
  await at.fill(6);
  const [file = ""] = await at.files();
  const path = join(at.dir, file);
  const sound = (await readFile(path, "utf8")).split(/(?<=\n)/);
  const cases = fc.record({ place: fc.nat(5), other: fc.nat(5), how: fc.constantFrom("out", "in", "moved") });
  await fc.assert(
    fc.asyncProperty(cases, async ({ place, other, how }) => {
      fc.pre(how === "in" || place !== other);
      const lines = [...sound];
      const moved = how === "in" ? lines.slice(other, other + 1) : lines.splice(place, 1);
      if (how === "moved") lines.splice(other, 0, ...moved);
      if (how === "in") lines.splice(place, 0, ...moved);
      await writeFile(path, lines.join(""));
      const { ok, fault } = await verifyAudit(at.dir);
      const differs = sound.findIndex((line, index) => line !== lines[index]);
      const first = differs === -1 ? sound.length : differs;
      const expected = first === lines.length ? 0 : first + 1;
      assert.deepEqual([ok, fault?.line], [false, expected]);
    }),
    { numRuns: 60 },
  );
});

test("a line that is sound in itself but not in its place is found", async () => {
  await using at = await folder();
  await at.fill(2);
  const [file = ""] = await at.files();
  const path = join(at.dir, file);
  const sound = await readFile(path, "utf8");
  const { hash } = JSON.parse(sound.split("\n")[1] ?? "") as { hash: string };
  const behind = async (seq: number, link: string): Promise<string> => {
    await writeFile(path, sound + writeLine({ seq, hash: link }, 0, entry(3)).line);
    return (await verifyAudit(at.dir)).fault?.reason ?? "";
  };
  assert.equal(await behind(2, hash), "", "control");
  for (const reason of [await behind(3, hash), await behind(2, "0".repeat(64))])
    assert.match(reason, /does not follow line 2/);
  await writeFile(path, sound);
  await rename(path, join(at.dir, "audit-000000000002.jsonl"));
  assert.match((await verifyAudit(at.dir)).fault?.reason ?? "", /named for 2/);
  await rename(join(at.dir, "audit-000000000002.jsonl"), path);
  await appendFile(path, "half");
  await writeFile(join(at.dir, "audit-000000000003.jsonl"), writeLine({ seq: 2, hash }, 0, entry(3)).line);
  assert.match((await verifyAudit(at.dir)).fault?.reason ?? "", /ends within a line/);
});

test("lines missing at the end are found, however many", async () => {
  await using at = await folder();
  await at.fill(4);
  const [file = ""] = await at.files();
  const path = join(at.dir, file);
  const lines = (await readFile(path, "utf8")).split(/(?<=\n)/);
  for (let kept = 3; kept >= 0; kept -= 1) {
    await writeFile(path, lines.slice(0, kept).join(""));
    const { ok, fault } = await verifyAudit(at.dir);
    assert.equal(ok, false);
    const what = kept === 3 ? "line 4 of the log is" : `lines ${kept + 1} to 4 of the log are`;
    assert.equal(fault?.reason, `${what} missing at its end`);
  }
  await rm(path);
  assert.equal((await verifyAudit(at.dir)).ok, false);
});

test("the chain goes from file to file, and a file taken out is found", async () => {
  await using at = await folder();
  await at.fill(8, { maxBytes: 700 });
  const files = await at.files();
  assert.ok(files.length >= 4);
  assert.equal((await verifyAudit(at.dir)).lines, 8);
  for (const [index, name] of files.entries()) {
    await cp(join(at.dir, name), join(at.dir, "kept"));
    await rm(join(at.dir, name));
    const { ok, fault } = await verifyAudit(at.dir);
    assert.equal(ok, false, name);
    assert.equal(basename(fault?.file ?? ""), files[index + 1] ?? files[index - 1]);
    await cp(join(at.dir, "kept"), join(at.dir, name));
  }
  assert.equal((await verifyAudit(at.dir)).ok, true);
});

test("files beyond those to keep go, and the chain is verified from where it now begins", async () => {
  await using at = await folder();
  await at.fill(12, { maxBytes: 700, keep: 3 });
  assert.equal((await at.files()).length, 3);
  const report = await verifyAudit(at.dir);
  assert.deepEqual([report.ok, report.to], [true, 12]);
  assert.ok(report.from > 1);
  await rm(join(at.dir, (await at.files())[0] ?? ""));
  assert.match((await verifyAudit(at.dir)).fault?.reason ?? "", /missing before it/);
});

test("a missing or unreadable head is a fault of the folder; a file alone is verified in itself", async () => {
  await using at = await folder();
  await at.fill(3);
  const [file = ""] = await at.files();
  await writeFile(join(at.dir, "audit.head"), "{}");
  assert.match((await verifyAudit(at.dir)).fault?.reason ?? "", /cannot be read/);
  await rm(join(at.dir, "audit.head"));
  assert.match((await verifyAudit(at.dir)).fault?.reason ?? "", /is missing/);
  const alone = await verifyAudit(join(at.dir, file));
  assert.deepEqual([alone.ok, alone.anchored, alone.lines], [true, false, 3]);
  await appendFile(join(at.dir, file), "half");
  assert.match((await verifyAudit(join(at.dir, file))).fault?.reason ?? "", /has no end/);
  await assert.rejects(verifyAudit(join(at.dir, "nothing")), { code: "path_unknown" });
  await using empty = await folder();
  await mkdir(empty.dir);
  await assert.rejects(verifyAudit(empty.dir), { code: "path_unknown" });
});

test("a log verifies while it is written", async () => {
  await using at = await folder();
  await using log = await at.open({ maxBytes: 2_000, keep: 2 });
  for (let n = 1; n <= 200; n += 1) {
    log.record(entry(n));
    if (n % 10 === 0) assert.equal((await verifyAudit(at.dir)).ok, true);
  }
  await log.flush();
  assert.equal((await verifyAudit(at.dir)).to, 200);
});

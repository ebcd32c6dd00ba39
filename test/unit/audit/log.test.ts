import assert from "node:assert/strict";
import { appendFile, chmod, open, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { openAuditLog, verifyAudit } from "../../../src/audit/index.ts";
import { createLog } from "../../../src/log.ts";
import { entry, folder } from "./rig.ts";

const linesOf = async (dir: string, file: string): Promise<Record<string, unknown>[]> =>
  (await readFile(join(dir, file), "utf8"))
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);

test("entries are lines in their order, with all they say", async () => {
  await using at = await folder();
  await at.fill(3);
  await at.fill(2);
  const lines = await linesOf(at.dir, (await at.files())[0] ?? "");
  assert.deepEqual(
    lines.map(({ seq, requestId }) => [seq, requestId]),
    [
      [1, "req-1"],
      [2, "req-2"],
      [3, "req-3"],
      [4, "req-1"],
      [5, "req-2"],
    ],
  );
  const { seq: _seq, at: time, prev: _prev, hash: _hash, ...rest } = lines[1] ?? {};
  assert.deepEqual(rest, entry(2));
  assert.match(String(time), /^\d{4}-\d\d-\d\dT.*Z$/);
  assert.equal((await verifyAudit(at.dir)).ok, true);
});

test("a text of any length and content makes one line", async () => {
  await using at = await folder();
  {
    await using log = await at.open();
    log.record({ ...entry(1), tool: `a\n"\u2028\ud800${"x".repeat(1e6)}`, hash: "0" } as never);
  }
  const { ok, lines } = await verifyAudit(at.dir);
  assert.deepEqual([ok, lines], [true, 1]);
});

test("files and folder are the owner's alone, and a key others can read is refused", async () => {
  await using at = await folder();
  await at.fill(1);
  for (const name of ["audit.key", "audit.head", ...(await at.files())]) {
    assert.equal((await stat(join(at.dir, name))).mode & 0o777, 0o600, name);
  }
  assert.equal((await stat(at.dir)).mode & 0o777, 0o700);
  await chmod(join(at.dir, "audit.key"), 0o644);
  await assert.rejects(at.open(), { code: "config_invalid" });
  await chmod(join(at.dir, "audit.key"), 0o600);
  await writeFile(join(at.dir, "audit.key"), "abcd");
  await assert.rejects(at.open(), { code: "config_invalid" });
});

test("of arguments there is a digest: the same for the same bytes and log, another for other bytes or another log", async () => {
  await using one = await folder();
  await using two = await folder();
  const digests = async (at: typeof one, ...args: string[]): Promise<unknown[]> => {
    {
      await using log = await at.open();
      for (const text of args) log.record(entry(1), Buffer.from(text));
      log.record(entry(2));
    }
    const lines = await linesOf(at.dir, (await at.files())[0] ?? "");
    return lines.map((line) => line["arguments"]);
  };
  const [first, other, same, none] = await digests(one, "{}", '{"secret":1}', "{}");
  assert.match(String(first), /^[0-9a-f]{64}$/);
  assert.deepEqual([same, none], [first, undefined]);
  assert.notEqual(other, first);
  assert.equal((await digests(one, "{}")).at(4), first, "in another life of the log");
  assert.notEqual((await digests(two, "{}"))[0], first);
  assert.equal((await verifyAudit(one.dir)).ok, true);
});

test("a second writer is refused, and may write once the first is gone", async () => {
  await using at = await folder();
  {
    await using _log = await at.open();
    await assert.rejects(at.open(), { code: "state_in_use" });
  }
  await at.fill(1);
});

test("a line cut off by a crash is taken away and noted", async () => {
  await using at = await folder();
  await at.fill(2);
  const [file = ""] = await at.files();
  await appendFile(join(at.dir, file), '{"seq":3,"at":"2026');
  const { ok, unfinished } = await verifyAudit(at.dir);
  assert.deepEqual([ok, unfinished], [true, 19]);
  await at.fill(1);
  const lines = await linesOf(at.dir, file);
  assert.deepEqual(
    lines.map(({ seq, kind, bytes }) => [seq, kind, bytes]),
    [
      [1, "call", undefined],
      [2, "call", undefined],
      [3, "repaired", 19],
      [4, "call", undefined],
    ],
  );
  assert.equal((await verifyAudit(at.dir)).ok, true);
});

test("a crash between lines and head, or right behind a new file, changes nothing", async () => {
  await using at = await folder();
  await at.fill(2);
  const head = await readFile(join(at.dir, "audit.head"));
  await at.fill(2);
  await writeFile(join(at.dir, "audit.head"), head);
  assert.equal((await verifyAudit(at.dir)).to, 4);
  await at.fill(1);
  await writeFile(join(at.dir, "audit-000000000006.jsonl"), "");
  assert.equal((await verifyAudit(at.dir)).ok, true);
  await at.fill(1);
  const report = await verifyAudit(at.dir);
  assert.deepEqual([report.ok, report.to, report.files], [true, 6, 2]);
});

test("what was changed or cut off while nobody wrote is noted and logged, and stays a fault", async () => {
  const harm: Record<string, (path: string) => Promise<void>> = {
    "a changed line": async (path) =>
      writeFile(path, (await readFile(path, "utf8")).replace("req-1", "req-9")),
    "lines cut off": async (path) => truncate(path, (await readFile(path, "utf8")).indexOf("\n") + 1),
    "every line cut off": (path) => truncate(path, 0),
    "a line of somebody else's": (path) => appendFile(path, '{"seq":4}\n'),
    "a line cut short": async (path) => truncate(path, (await stat(path)).size - 5),
    "no file": (path) => rm(path),
  };
  for (const [name, harmed] of Object.entries(harm)) {
    await using at = await folder();
    await at.fill(3);
    const [file = ""] = await at.files();
    await harmed(join(at.dir, file));
    const logged: string[] = [];
    {
      const log = createLog({ destination: { write: (line) => void logged.push(line) } });
      await using audit = await openAuditLog({ log }, { dir: at.dir });
      audit.record(entry(4));
    }
    assert.ok(
      logged.some((line) => line.includes("does not verify")),
      name,
    );
    const { ok, fault } = await verifyAudit(at.dir);
    assert.equal(ok, false, name);
    assert.notEqual(fault, null);
    const [newest = ""] = (await at.files()).slice(-1);
    assert.deepEqual(
      (await linesOf(at.dir, newest)).map(({ seq, kind, reason }) => [seq, kind, typeof reason]),
      [
        [4, "damaged", "string"],
        [5, "call", "string"],
      ],
      name,
    );
  }
});

test("a head that is removed or cannot be read is noted, and the note stays", async () => {
  for (const harmed of [(head: string) => rm(head), (head: string) => writeFile(head, "{}")]) {
    await using at = await folder();
    await at.fill(3);
    await harmed(join(at.dir, "audit.head"));
    await at.fill(1);
    assert.equal((await verifyAudit(at.dir)).damaged, 1);
  }
});

test("a log whose oldest files are gone goes on from where it begins now", async () => {
  await using at = await folder();
  await at.fill(12, { maxBytes: 700, keep: 3 });
  const { from } = await verifyAudit(at.dir);
  assert.ok(from > 1);
  await at.fill(1, { maxBytes: 1e6, keep: 3 });
  const report = await verifyAudit(at.dir);
  assert.deepEqual([report.ok, report.from, report.to], [true, from, 13]);
});

test("a full disk stops nothing: what waits is kept, what is too much is counted where it is missing", async () => {
  await using at = await folder();
  let full = false;
  let half = false;
  const openFile = async (path: string, flags: string, mode: number) => {
    const file = await open(path, flags, mode);
    const append = file.appendFile.bind(file);
    file.appendFile = async (bytes) => {
      if (!full) return await append(bytes);
      if (half) await append((bytes as Buffer).subarray(0, 10));
      throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
    };
    return file;
  };
  const logged: string[] = [];
  const log = createLog({ destination: { write: (line) => void logged.push(line) } });
  {
    await using audit = await openAuditLog({ log }, { dir: at.dir, openFile, maxWaiting: 3, retryMs: 1 });
    audit.record(entry(1));
    await audit.flush();
    [full, half] = [true, true];
    for (let n = 2; n <= 9; n += 1) audit.record(entry(n));
    await assert.rejects(audit.flush(), { code: "store_full" });
    await assert.rejects(audit.flush(), { code: "store_full" });
    assert.equal(audit.failed?.code, "store_full");
    assert.equal(audit.lost, 5);
    full = false;
    while (audit.failed !== null) await new Promise((resolve) => setTimeout(resolve, 1));
    audit.record(entry(10));
    await audit.flush();
  }
  const lines = await linesOf(at.dir, (await at.files())[0] ?? "");
  assert.deepEqual(
    lines.map(({ kind, requestId, lost }) => [kind, requestId ?? lost]),
    [
      ["call", "req-1"],
      ["call", "req-2"],
      ["call", "req-3"],
      ["call", "req-4"],
      ["gap", 5],
      ["call", "req-10"],
    ],
  );
  const report = await verifyAudit(at.dir);
  assert.deepEqual([report.ok, report.lost], [true, 5]);
  assert.equal(logged.filter((line) => line.includes("cannot be written")).length, 1);
});

test("a log whose disk stays full can be closed, and keeps the lines it had", async () => {
  await using at = await folder();
  await at.fill(3);
  const openFile = async (path: string, flags: string, mode: number) => {
    const file = await open(path, flags, mode);
    file.datasync = () => Promise.reject(Object.assign(new Error("i/o error"), { code: "EIO" }));
    return file;
  };
  {
    await using audit = await at.open({ openFile });
    audit.record(entry(1));
    await assert.rejects(audit.flush(), { code: "store_unavailable" });
  }
  assert.deepEqual(await verifyAudit(at.dir).then(({ ok, lines }) => [ok, lines]), [true, 3]);
});

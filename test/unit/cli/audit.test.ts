import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { entry, folder } from "../audit/rig.ts";
import { openAuditLog } from "../../../src/audit/index.ts";
import { silentLog } from "../../../src/log.ts";
import { cli } from "./harness.ts";

test("audit verify says what holds, for the log of the state folder and for one that is named", async () => {
  await using at = await folder();
  await at.fill(3);
  using named = cli();
  assert.equal(await named.raw("audit", "verify", at.dir), 0);
  assert.match(named.stdout().toString(), /3 lines \(1 to 3\) in 1 file verified/);
  for (const [argv, dir] of [
    [[], ".sallyport/audit"],
    [["--state", "other"], "other/audit"],
  ] as const) {
    using command = cli();
    {
      await using log = await openAuditLog({ log: silentLog() }, { dir: join(command.cwd, dir) });
      log.record(entry(1));
    }
    assert.equal(await command.raw("audit", "verify", ...argv), 0);
    assert.match(command.stdout().toString(), /: 1 line /);
  }
});

test("audit verify names file, line and reason of what is wrong, and exits 1", async () => {
  await using at = await folder();
  await at.fill(3);
  const file = join(at.dir, (await at.files())[0] ?? "");
  await writeFile(file, (await readFile(file, "utf8")).replace("req-2", "req-7"));
  using command = cli();
  assert.equal(await command.raw("audit", "verify", at.dir), 1);
  assert.match(command.stderr(), /audit-000000000001\.jsonl:2: its bytes do not match its hash/);
  using machine = cli();
  assert.equal(await machine.raw("audit", "verify", at.dir, "--json"), 1);
  const { ok, fault } = JSON.parse(machine.stdout().toString()) as Record<string, unknown>;
  assert.deepEqual([ok, fault], [false, { file, line: 2, reason: "its bytes do not match its hash" }]);
});

test("audit verify of a log that is not there fails", async () => {
  using command = cli();
  assert.equal(await command.raw("audit", "verify"), 1);
  assert.match(command.stderr(), /there is no audit log/);
});

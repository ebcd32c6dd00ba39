/** Writes an audit log until it is killed; prints how many entries are certainly on disk. */
import { openAuditLog } from "../../src/audit/index.ts";
import { silentLog } from "../../src/log.ts";
import { entry } from "../unit/audit/rig.ts";

const dir = process.argv[2] ?? "";
const log = await openAuditLog({ log: silentLog() }, { dir, maxBytes: 20_000, keep: 100 });
for (let n = 1; ; n += 1) {
  log.record(entry(n));
  if (n % 7 !== 0) continue;
  await log.flush();
  process.stdout.write(`${n}\n`);
}

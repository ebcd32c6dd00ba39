import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openAuditLog, type AuditEntry, type AuditLog, type AuditOptions } from "../../../src/audit/index.ts";
import { silentLog } from "../../../src/log.ts";

export interface Folder extends AsyncDisposable {
  readonly dir: string;
  open(options?: Partial<AuditOptions>): Promise<AuditLog>;
  /** Records `count` entries in a life of their own. */
  fill(count: number, options?: Partial<AuditOptions>): Promise<void>;
  /** Names of files with lines, oldest first */
  files(): Promise<string[]>;
}

export const entry = (n: number): AuditEntry => ({
  kind: "call",
  requestId: `req-${n}`,
  job: "job-1",
  sandbox: "sandbox-1",
  host: "docs.test",
  decision: "allow",
  reason: "granted",
  rule: "job",
  tool: "search_docs",
  ms: n,
});

export async function folder(): Promise<Folder> {
  const root = await mkdtemp(join(tmpdir(), "sallyport-audit-"));
  const dir = join(root, "audit");
  const open: Folder["open"] = (options = {}) => openAuditLog({ log: silentLog() }, { dir, ...options });
  return {
    dir,
    open,
    async fill(count, options) {
      await using log = await open(options);
      for (let n = 1; n <= count; n += 1) {
        log.record(entry(n));
        // With a bound on the file each line is a batch, so that files are as small as they can be.
        if (options?.maxBytes !== undefined) await log.flush();
      }
    },
    files: async () =>
      (await readdir(dir)).filter((name) => name.endsWith(".jsonl")).sort((a, b) => (a < b ? -1 : 1)),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}

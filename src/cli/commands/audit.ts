import { join, resolve } from "node:path";
import type { AuditReport } from "../../audit/index.ts";
import { SallyportError } from "../../errors.ts";
import { exitCodes } from "../exit-codes.ts";
import { bind, examples, group, withJson, type Register } from "../command.ts";
import type { Context } from "../context.ts";

interface VerifyFlags {
  state?: string;
  json?: boolean;
}

export const registerAudit: Register = (parent, dispatch) => {
  const audit = group(parent, "audit", "prove what the log of requests and tool calls says");
  const verify = audit
    .command("verify")
    .argument("[file]", "a log's folder or one of its files; the audit log of the state folder by default")
    .description("check every line against the line before it; exit code 1 names the first that is wrong")
    .option(
      "--state <dir>",
      "state folder whose log is meant (SALLYPORT_STATE); a `dev`'s, .sallyport, by default",
    );
  examples(
    withJson(verify),
    "sallyport audit verify",
    "sallyport audit verify /var/lib/sallyport/audit --json",
  );
  bind<VerifyFlags>(verify, dispatch, verifyLog);
};

async function verifyLog(context: Context, flags: VerifyFlags, [file]: string[]): Promise<number> {
  const path = await logPath(context, flags, file);
  const { verifyAudit } = await import("../../audit/index.ts");
  const report = await verifyAudit(path);
  if (flags.json === true) await context.stdout.json({ path, ...report });
  else if (report.fault === null) await context.stdout.line(describe(path, report));
  else throw broken(report.fault);
  return report.ok ? exitCodes.ok : exitCodes.failed;
}

async function logPath(context: Context, flags: VerifyFlags, file: string | undefined): Promise<string> {
  if (file !== undefined) return resolve(context.cwd, file);
  const { devStateDir } = await import("../../config/index.ts");
  const { stateDir = devStateDir } = await context.environment();
  return join(resolve(context.cwd, flags.state ?? stateDir), "audit");
}

function broken({ file, line, reason }: NonNullable<AuditReport["fault"]>): SallyportError {
  const where = line === 0 ? file : `${file}:${line}`;
  return new SallyportError("audit_broken", `${where}: ${reason}`, {
    details: { file, line, reason, fix: "keep the folder as evidence, and compare it with a copy" },
  });
}

function describe(path: string, report: AuditReport): string {
  const range = report.lines === 0 ? "" : ` (${report.from} to ${report.to})`;
  const remarks = [
    `${path}: ${counted(report.lines, "line")}${range} in ${counted(report.files, "file")} verified`,
    report.lost > 0 && `entries lost while the disk took none: ${report.lost}; the log says where`,
    report.damaged > 0 && `lines that say the log did not verify when it was opened: ${report.damaged}`,
    report.unfinished > 0 && `bytes at the end of a line that is not finished: ${report.unfinished}`,
    !report.anchored && "the file stands alone: whether lines are missing at its ends cannot be told",
  ];
  return remarks.filter((remark) => remark !== false).join("\n");
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

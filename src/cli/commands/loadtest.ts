import { bind, examples, repeated, withHub, type Register } from "../command.ts";
import type { Context } from "../context.ts";
import { exitCodes, signalExit } from "../exit-codes.ts";
import type { LoadtestFlags } from "../loadtest/plan.ts";

const modesHelp = `
Without --rate each of --concurrency callers waits for its answer before it sends the next job (closed loop). With --rate jobs
arrive on schedule whatever the answers do, and latency is counted from when a job was due (open loop); --concurrency is then
the most that may be outstanding, 1000 by default.

Exit code:
  0    every job succeeded and nothing was left behind
  1    a job failed, or something was left behind
  2    the command line is wrong
  130  stopped by Ctrl-C: outstanding jobs are cancelled, what there is is reported; once more leaves without waiting`;

export const registerLoadtest: Register = (parent, dispatch) => {
  const command = parent
    .command("loadtest")
    .description("send many jobs, measure every stage of each, and look for what they leave behind")
    .usage("--profile PROFILE [options] [-c CODE | -- COMMAND ARGUMENT…]")
    .requiredOption("--profile <profile>", "sandbox profile of every job")
    .option("--concurrency <n>", "callers, or with --rate the most outstanding jobs; 10 by default")
    .option("--total <n>", "jobs; 100 by default, as many as fit with --duration")
    .option("--rate <n>", "arrivals per second, kept on schedule")
    .option("--duration <duration>", "no job arrives after this, such as 30s or 5m")
    .option("-c, --code <code>", "code each job runs; by default a line of arithmetic")
    .option("--language <language>", "python, node or shell; by default the first that the profile has")
    .option("--timeout <duration>", "wall-clock limit of each job")
    .addOption(repeated("--mcp <host[=tool,…]>", "MCP server each job's code may call"))
    .option("--html <file>", "write one self-contained page with charts");
  withHub(command).option("--json", "print everything measured as the last line of stdout; errors as JSON");
  examples(
    command,
    "sallyport loadtest --profile fanout --concurrency 200 --total 1000 --html report.html",
    "sallyport loadtest --profile python --rate 20 --duration 1m -c 'import numpy; print(numpy.pi)'",
    'sallyport loadtest --profile python --mcp docs=search_docs -c "$(cat call-a-tool.py)"',
    "sallyport loadtest --profile shell --total 50 --json -- sh -c 'head -c 1000000 /dev/zero'",
  ).addHelpText("after", modesHelp);
  bind<LoadtestFlags>(command, dispatch, loadtest);
};

async function loadtest(context: Context, flags: LoadtestFlags): Promise<number> {
  const { measure } = await import("../loadtest/measure.ts");
  const { held, renderPage, reportTables, verdict } = await import("../../loadtest/index.ts");
  const { report, page, stoppedBy } = await measure(context, flags);
  if (page !== undefined) await (await import("node:fs/promises")).writeFile(page, renderPage(report));
  if (flags.json === true) await context.stdout.json(report);
  else {
    const { table } = await import("../table.ts");
    for (const { headings, rows } of reportTables(report)) {
      await context.stdout.line(`${table(headings, rows)}\n`);
    }
    await context.stdout.line(verdict(report));
  }
  if (stoppedBy !== undefined) return signalExit(stoppedBy);
  return held(report) ? exitCodes.ok : exitCodes.failed;
}

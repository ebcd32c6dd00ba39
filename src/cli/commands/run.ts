import { describeEnd, exitCodeOf, exitCodes, signalExit } from "../exit-codes.ts";
import { bind, examples, repeated, withHub, type Register } from "../command.ts";
import type { Client, JobResult } from "../../client/index.ts";
import type { Context, StopSignal } from "../context.ts";
import { printError, reportFailure } from "../failure.ts";
import { plain } from "../table.ts";
import type { RunFlags, RunPlan } from "../run/plan.ts";

const exitHelp = `
Exit code:
  the program's own when it ended by itself, 128+N when signal N ended it; else
  124  it ran into its timeout
  137  it was killed: out of memory, or it printed more than its profile allows
  125  Sallyport could not run it, or lost it
  126, 127  the command cannot be executed, or is not there
  130  cancelled (Ctrl-C; once more leaves without waiting), 143 by SIGTERM, 141 nobody reads stdout
  1    the program succeeded, but a file named with --output is missing
  2    the command line is wrong`;

export const registerRun: Register = (parent, dispatch) => {
  const command = parent
    .command("run")
    .description("submit a job and stream it: its stdout, stderr, stdin and exit code become this command's")
    .usage("[options] (-c CODE | --file FILE | -- COMMAND ARGUMENT…)")
    .option("-c, --code <code>", "code to run")
    .option("--file <file>", "file with code to run; .py, .js, .mjs, .cjs and .sh tell the language")
    .option("--language <language>", "python, node or shell; python when nothing tells it")
    .option(
      "--profile <profile>",
      "sandbox profile; by default named like the language, `shell` for a command",
    )
    .addOption(repeated("--input <local[:path]>", "local file to put into the sandbox's workspace"))
    .addOption(repeated("--output <path[:local]>", "file in the workspace to fetch when the job is over"))
    .addOption(repeated("--env <name=value>", "variable in the program's environment"))
    .addOption(repeated("--mcp <host[=tool,…]>", "MCP server the program may reach; no other network exists"))
    .option("--timeout <duration>", "wall-clock limit, such as 10s or 5m")
    .addOption(repeated("--label <name=value>", "label a worker must carry to be given the job"))
    .option("--priority <n>", "-100 to 100, higher first; 0 by default")
    .option("--retry <n>", "start it again up to N times when worker or sandbox is lost")
    .option("--idempotency-key <key>", "submitting the same job under the same key again gives the first one")
    .option("--detach", "print the job's id and do not wait");
  withHub(command).option("--json", "print the result as the last line of stdout; errors as JSON");
  examples(
    command,
    "sallyport run -c 'print(6*7)'",
    "sallyport run --file report.py --input data.csv --output report.html",
    "head -c 1000 /dev/urandom | sallyport run -- sha256sum",
    "sallyport run --profile heavy --timeout 5m --json -- sh -c 'make -j4'",
  ).addHelpText("after", exitHelp);
  bind<RunFlags>(command, dispatch, run);
};

async function run(context: Context, flags: RunFlags): Promise<number> {
  try {
    const { planRun } = await import("../run/plan.ts");
    const plan = await planRun(flags, context.tail, context.cwd);
    const client = await context.client(flags);
    return flags.detach === true
      ? await detach(context, client, flags, plan)
      : await attach(context, client, flags, plan);
  } catch (error) {
    return await reportFailure(error, context.stderr, {
      json: flags.json === true,
      exitCode: exitCodes.notRun,
    });
  }
}

async function detach(context: Context, client: Client, flags: RunFlags, plan: RunPlan): Promise<number> {
  const job = await client.jobs.submit(plan.request, { idempotencyKey: flags.idempotencyKey });
  await (flags.json === true ? context.stdout.json(job) : context.stdout.line(job.id));
  return exitCodes.ok;
}

async function attach(context: Context, client: Client, flags: RunFlags, plan: RunPlan): Promise<number> {
  const [{ followJob }, { hasInput }] = await Promise.all([
    import("../run/follow.ts"),
    import("../run/stdin.ts"),
  ]);
  const feedsStdin = hasInput(context.stdin.fd);
  const request = feedsStdin ? { ...plan.request, stdin: { stream: true as const } } : plan.request;
  const followed = await followJob(context, client, {
    request,
    idempotencyKey: flags.idempotencyKey,
    feedsStdin,
  });
  if (followed.end === "stopped") return signalExit(followed.by);
  if (followed.end === "failed") throw followed.error;
  const { missing, stoppedBy } = await fetchOutputs(context, client, followed.id, { flags, plan });
  if (stoppedBy !== undefined) return signalExit(stoppedBy);
  return await tell(context, flags, { id: followed.id, result: followed.result, missing });
}

async function fetchOutputs(
  context: Context,
  client: Client,
  id: string,
  { flags, plan }: { flags: RunFlags; plan: RunPlan },
): Promise<{ missing: boolean; stoppedBy?: StopSignal }> {
  if (plan.outputs.length === 0) return { missing: false };
  const { saveOutputs } = await import("../run/artifacts.ts");
  const stop = new AbortController();
  using _watch = context.watchSignals((by) => stop.abort(by));
  try {
    const where = { cwd: context.cwd, signal: stop.signal };
    const failures = await saveOutputs(client.jobs, id, plan.outputs, where);
    for (const failure of failures) await printError(failure, context.stderr, flags.json === true);
    return { missing: failures.length > 0 };
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    return { missing: true, stoppedBy: stop.signal.reason as StopSignal };
  }
}

interface End {
  id: string;
  result: JobResult;
  /** some `--output` could not be had */
  missing: boolean;
}

async function tell(context: Context, flags: RunFlags, { id, result, missing }: End): Promise<number> {
  const end = describeEnd(result);
  if (end !== undefined) await context.stderr.line(`sallyport: ${plain(end)}`);
  if (flags.json === true) await context.stdout.json({ id, ...result });
  const code = exitCodeOf(result);
  return code === exitCodes.ok && missing ? exitCodes.failed : code;
}

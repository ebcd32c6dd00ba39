import type { Command } from "commander";
import { exitCodeOf, exitCodes } from "../exit-codes.ts";
import { bind, examples, group, withHub, withJson, type Dispatch, type Register } from "../command.ts";
import type { JobView, ListOptions } from "../../client/index.ts";
import type { Context, HubFlags } from "../context.ts";
import { isError } from "../../errors.ts";
import { printError, usageError } from "../failure.ts";
import { pairs, table } from "../table.ts";

export const registerJobs: Register = (parent, dispatch) => {
  const jobs = group(parent, "jobs", "look at jobs, read their output, cancel them");
  registerList(jobs, dispatch);
  const show = jobs.command("show").argument("<id>").description("one job with its attempts and result");
  examples(withJson(withHub(show)), "sallyport jobs show job_01JX…");
  bind<HubFlags>(show, dispatch, showJob);
  const logs = jobs
    .command("logs")
    .argument("<id>")
    .description("what a job printed, byte for byte: its stdout and stderr become ours")
    .option("-f, --follow", "go on until the job ends")
    .option("--attempt <n>", "of an earlier attempt; the latest by default");
  withHub(logs).option("--json", "errors as JSON; what the job printed stays as it is");
  examples(logs, "sallyport jobs logs job_01JX… > out.txt", "sallyport jobs logs -f job_01JX…");
  bind<LogFlags>(logs, dispatch, printLogs);
  const cancel = jobs
    .command("cancel")
    .argument("<id...>")
    .description("cancel jobs; one that is over stays as it is");
  examples(withJson(withHub(cancel)), "sallyport jobs cancel job_01JX…");
  bind<HubFlags>(cancel, dispatch, cancelJobs);
};

interface ListFlags extends HubFlags {
  state?: string;
  profile?: string;
  limit?: string;
  cursor?: string;
}

interface LogFlags extends HubFlags {
  follow?: boolean;
  attempt?: string;
}

function registerList(jobs: Command, dispatch: Dispatch): void {
  const list = jobs
    .command("ls")
    .description("jobs, newest first")
    .option("--state <state>", "queued, leased, running, succeeded, failed, cancelled, timed_out or lost")
    .option("--profile <profile>", "only jobs of this profile")
    .option("--limit <n>", "1 to 500; 50 by default")
    .option("--cursor <cursor>", "the next page, as told by the page before");
  examples(withJson(withHub(list)), "sallyport jobs ls", "sallyport jobs ls --state running --json");
  bind<ListFlags>(list, dispatch, listJobs);
}

async function listJobs(context: Context, flags: ListFlags): Promise<number> {
  const { countFlag } = await import("../../config/index.ts");
  const limit = flags.limit === undefined ? 50 : countFlag(flags.limit, "--limit", { min: 1, max: 500 });
  const client = await context.client(flags);
  const state = flags.state as ListOptions["state"];
  const page = await client.jobs.list({ state, profile: flags.profile, limit, cursor: flags.cursor });
  if (flags.json === true) {
    await context.stdout.json(page);
    return exitCodes.ok;
  }
  const rows = page.jobs.map((job) => [job.id, job.state, job.profile, job.createdAt, endOf(job)]);
  await context.stdout.line(table(["ID", "STATE", "PROFILE", "CREATED", "END"], rows));
  if (page.next !== null) await context.stderr.line(`more with --cursor ${page.next}`);
  return exitCodes.ok;
}

function endOf({ result }: JobView): string | null {
  if (result === null) return null;
  if (result.reason === "exited") return `exit ${result.exitCode}`;
  return result.signal === null ? result.reason : `${result.reason} ${result.signal}`;
}

async function showJob(context: Context, flags: HubFlags, [id = ""]: string[]): Promise<number> {
  const job = await (await context.client(flags)).jobs.get(id);
  if (flags.json === true) await context.stdout.json(job);
  else await context.stdout.line(describeJob(job));
  return exitCodes.ok;
}

function describeJob(job: JobView): string {
  const { result } = job;
  const facts: [string, string | null][] = [
    ["id", job.id],
    ["state", job.state],
    ["profile", job.profile],
    ["tenant", job.tenant],
    ["created", job.createdAt],
    ["priority", String(job.priority)],
    ["labels", pairs(job.labels)],
    ["end", endOf(job)],
  ];
  if (result !== null) {
    const { timings, output, usage } = result;
    facts.push(
      ["finished", result.finishedAt],
      ["timings", `queued ${ms(timings.queuedMs)}, start ${ms(timings.startMs)}, run ${ms(timings.runMs)}`],
      ["sandbox", timings.warm ? "warm" : "cold"],
      ["usage", `cpu ${ms(usage.cpuMs)}, rss ${usage.maxRssBytes} bytes`],
      ["output", `stdout ${output.stdoutBytes} bytes, stderr ${output.stderrBytes} bytes`],
      ["artifacts", result.artifacts.map(({ path }) => path).join(" ")],
    );
    if (result.error !== null) facts.push(["error", result.error.message]);
  }
  const attempts = job.attempts.map((attempt) => [
    String(attempt.attempt),
    attempt.workerId,
    attempt.leasedAt,
    attempt.finishedAt,
    attempt.reason,
  ]);
  const head = table(["FIELD", "VALUE"], facts);
  if (attempts.length === 0) return head;
  return `${head}\n\n${table(["ATTEMPT", "WORKER", "LEASED", "FINISHED", "REASON"], attempts)}`;
}

function ms(value: number): string {
  return `${Number(value.toFixed(1))} ms`;
}

async function printLogs(context: Context, flags: LogFlags, [id = ""]: string[]): Promise<number> {
  if (flags.follow === true && flags.attempt !== undefined) {
    throw usageError("--attempt: an earlier attempt is over", "leave out --follow or --attempt");
  }
  const { countFlag } = await import("../../config/index.ts");
  const { jobs } = await context.client(flags);
  if (flags.follow === true) return await followLogs(context, jobs, id);
  const attempt =
    flags.attempt === undefined ? undefined : countFlag(flags.attempt, "--attempt", { min: 1, max: 1_000 });
  for await (const bytes of await jobs.stdout(id, { attempt })) await context.stdout.write(bytes);
  for await (const bytes of await jobs.stderr(id, { attempt })) await context.stderr.write(bytes);
  return exitCodes.ok;
}

/** Exits like the job, as `run` does. */
async function followLogs(
  context: Context,
  jobs: Awaited<ReturnType<Context["client"]>>["jobs"],
  id: string,
): Promise<number> {
  for await (const event of jobs.events(id)) {
    if (event.type === "stdout") await context.stdout.write(event.bytes);
    else if (event.type === "stderr") await context.stderr.write(event.bytes);
    else if (event.type === "finished") return exitCodeOf(event.result);
  }
  return exitCodes.ok;
}

async function cancelJobs(context: Context, flags: HubFlags, ids: string[]): Promise<number> {
  const { jobs } = await context.client(flags);
  let code: number = exitCodes.ok;
  for (const id of ids) {
    try {
      const job = await jobs.cancel(id);
      await (flags.json === true ? context.stdout.json(job) : context.stdout.line(`${job.id} ${job.state}`));
    } catch (error) {
      // One that is not there keeps no other from being cancelled.
      if (!isError(error, "job_unknown")) throw error;
      await printError(error, context.stderr, flags.json === true);
      code = exitCodes.failed;
    }
  }
  return code;
}

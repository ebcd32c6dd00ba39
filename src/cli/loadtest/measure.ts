/** Joins a load test to the hub, to this host's engine and to the terminal. */
import { SseParser, type Client, type JobRequest, type JobResult } from "../../client/index.ts";
import { durationFlag, findHub } from "../../config/index.ts";
import { createHubTarget, openFilesLimit, runLoadtest, type Report } from "../../loadtest/index.ts";
import { issuesToError, jobResultSchema } from "../../protocol/index.ts";
import type { Context, StopSignal } from "../context.ts";
import { parseGrant } from "../run/plan.ts";
import {
  checkPage,
  checkProfile,
  defaultWork,
  planLoad,
  planWork,
  type LoadtestFlags,
  type Work,
} from "./plan.ts";
import { showProgress } from "./progress.ts";

export interface Measured {
  report: Report;
  /** Where the page goes */
  page: string | undefined;
  stoppedBy: StopSignal | undefined;
}

/** Throws usage errors naming their flag before anything is sent, and what the hub answers when it is asked about the profile. */
export async function measure(context: Context, flags: LoadtestFlags): Promise<Measured> {
  const load = planLoad(flags, openFilesLimit());
  const work = planWork(flags, context.tail);
  if (flags.timeout !== undefined) durationFlag(flags.timeout, "--timeout");
  const mcp = (flags.mcp ?? []).map(parseGrant);
  const page = flags.html === undefined ? undefined : await checkPage(flags.html, context.cwd);
  const client = await context.client(flags);
  const access = findHub(flags, await context.environment(), context.cwd);
  const job = { ...(await planJob(client, flags, work)), ...(mcp.length > 0 && { mcp }) };
  using target = createHubTarget(
    { parser: () => new SseParser(), readEnd, cancel: (id) => client.jobs.cancel(id) },
    { ...access, job },
  );
  const progress = showProgress(context.stderr, load.total);
  const [stop, leave] = [new AbortController(), new AbortController()];
  let stoppedBy: Measured["stoppedBy"];
  using _watch = context.watchSignals((signal, count) => {
    stoppedBy = signal;
    (count === 1 ? stop : leave).abort(new Error(`stopped by ${signal}`));
  });
  const report = await runLoadtest(
    {
      target,
      fleet: () => client.workers.list(),
      watchEngine: (workers) => context.roles.watchSandboxes(workers),
      onProgress: (seen) => progress.show(seen),
    },
    { load, job, hub: client.url },
    { stop: stop.signal, leave: leave.signal },
  );
  await progress.clear();
  return { report, page, stoppedBy };
}

async function planJob(client: Client, flags: LoadtestFlags, work: Work | undefined): Promise<JobRequest> {
  const name = flags.profile ?? "";
  const profile = checkProfile(await client.profiles.list(), name);
  const job = { profile: name, ...(work ?? defaultWork(profile, flags.code)) };
  return flags.timeout === undefined ? job : { ...job, timeout: flags.timeout };
}

function readEnd(data: string): JobResult {
  const { result } = JSON.parse(data) as { result: unknown };
  const parsed = jobResultSchema.safeParse(result);
  if (parsed.success) return parsed.data;
  throw issuesToError(parsed.error, "protocol_violation", "event finished");
}

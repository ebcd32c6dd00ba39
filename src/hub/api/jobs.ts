import type { FastifyReply } from "fastify";
import { z } from "zod";
import { abortable, deadlineSignal, linkSignals } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import { jobStates } from "../../protocol/index.ts";
import type { JobRecord } from "../../store/index.ts";
import { parseDuration } from "../../units.ts";
import { hasScope } from "../auth/keys.ts";
import type { LiveJob } from "../live/live-job.ts";
import { findJob, identityOf, jobUnknown, watchJob, type Api, type ApiContext } from "./context.ts";
import { readerSignal } from "./streaming.ts";
import { errorSchema, jobPageSchema, jobView, jobViewSchema } from "./views.ts";

const maxWaitMs = 60_000;

const idParams = z.strictObject({ id: z.string() });
const listQuery = z.strictObject({
  state: z.enum(jobStates).optional(),
  profile: z.string().max(63).optional(),
  limit: z.coerce.number().int().min(1).max(500).default(50),
  cursor: z.string().max(256).optional(),
});
const access = ["jobs"] as const;

export function jobRoutes(app: Api, context: ApiContext): void {
  cancelRoute(app, context);

  app.get(
    "/v1/jobs",
    {
      config: { access },
      schema: {
        summary: "List jobs, newest first; a page may end early where their results are large",
        querystring: listQuery,
        response: { 200: jobPageSchema, default: errorSchema },
      },
    },
    async (request) => {
      const { state, profile, limit, cursor } = request.query;
      const identity = identityOf(request);
      const page = await context.hub.store.jobs.list({
        limit,
        ...(!hasScope(identity, "admin") && { tenant: identity.tenant }),
        ...(state !== undefined && { states: [state] }),
        ...(profile !== undefined && { profile }),
        ...(cursor !== undefined && { cursor }),
      });
      return { jobs: page.jobs.map(jobView), next: page.next };
    },
  );

  app.get(
    "/v1/jobs/:id",
    {
      config: { access },
      schema: {
        summary: "One job; with wait, answers when it is over or the time is",
        params: idParams,
        querystring: z.strictObject({ wait: z.string().max(32).optional() }),
        response: { 200: jobViewSchema, default: errorSchema },
      },
    },
    async (request, reply) => {
      const { use, record } = await watchJob(context, request, request.params.id);
      using live = use;
      const { wait } = request.query;
      if (wait === undefined) return jobView(record);
      return jobView(await waitForEnd(context, reply, { job: live.job, waitMs: waitTime(wait) }, record));
    },
  );
}

function waitTime(text: string): number {
  const waitMs = parseDuration(text, "wait");
  if (waitMs <= maxWaitMs) return waitMs;
  throw new SallyportError("request_invalid", `wait: ${text} is more than 60s`, {
    details: { field: "wait" },
  });
}

function cancelRoute(app: Api, context: ApiContext): void {
  app.post(
    "/v1/jobs/:id/cancel",
    {
      config: { access },
      schema: {
        summary: "Cancel a job",
        params: idParams,
        response: { 200: jobViewSchema, 202: jobViewSchema, default: errorSchema },
      },
    },
    async (request, reply) => {
      const { id } = await findJob(context, request, request.params.id);
      const { job, changed } = await cancelJob(context, id);
      return reply.status(changed ? 202 : 200).send(jobView(job));
    },
  );
}

/** The job once it is over, or as it is when the time is over or the hub leaves. */
async function waitForEnd(
  context: ApiContext,
  reply: FastifyReply,
  { job, waitMs }: { job: LiveJob; waitMs: number },
  first: JobRecord,
): Promise<JobRecord> {
  using reader = readerSignal(reply, context.leaving);
  using deadline = deadlineSignal(waitMs, "waiting for the job");
  using either = linkSignals(reader.signal, deadline.signal);
  let latest = first;
  while (latest.result === null && !either.signal.aborted) {
    const changed = job.changed.wait();
    latest = (await job.record()) ?? latest;
    if (latest.result === null) await abortable(changed, either.signal).catch(() => undefined);
  }
  return latest;
}

async function cancelJob(context: ApiContext, id: string): Promise<{ job: JobRecord; changed: boolean }> {
  const { hub } = context;
  const cancelled = await hub.store.jobs.cancel(id, Date.now());
  if (cancelled === null) throw jobUnknown(id);
  const { ended, lease, job } = cancelled;
  if (ended) {
    hub.live.settle(id, job);
    if (job.result !== null) hub.metrics.jobEnded(job.result);
  } else if (lease !== null) {
    hub.registry.cancel(lease, hub.intervals.graceMs);
    hub.live.touch(id);
  }
  return { job, changed: ended || lease !== null };
}

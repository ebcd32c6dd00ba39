import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { abortable, deadlineSignal, linkSignals } from "../../async/index.ts";
import { isError, SallyportError } from "../../errors.ts";
import { jobRequestSchema, jobStates } from "../../protocol/index.ts";
import type { JobRecord } from "../../store/index.ts";
import { parseDuration } from "../../units.ts";
import { hasScope } from "../auth/keys.ts";
import { findJob, identityOf, jobUnknown, type Api, type ApiContext } from "./context.ts";
import { followJob } from "./events.ts";
import { readerSignal } from "./streaming.ts";
import { submitJob } from "./submission.ts";
import { errorSchema, jobPageSchema, jobView, jobViewSchema } from "./views.ts";

const maxWaitMs = 60_000;
const maxKeyLength = 255;

const idParams = z.strictObject({ id: z.string() });
const listQuery = z.strictObject({
  state: z.enum(jobStates).optional(),
  profile: z.string().max(63).optional(),
  limit: z.coerce.number().int().min(1).max(500).default(50),
  cursor: z.string().max(256).optional(),
});
const access = ["jobs"] as const;

export function jobRoutes(app: Api, context: ApiContext): void {
  app.post(
    "/v1/jobs",
    {
      config: { access },
      schema: {
        summary: "Submit a job",
        body: jobRequestSchema,
        response: { 200: jobViewSchema, 201: jobViewSchema, default: errorSchema },
      },
    },
    async (request, reply) => {
      refuseWhenLeaving(context);
      const { job, created } = await submitJob(context.hub, {
        request: request.body,
        identity: identityOf(request),
        idempotencyKey: idempotencyKey(request),
        digest: request.bodyDigest,
      });
      const headers = { location: `/v1/jobs/${job.id}`, ...(!created && { "idempotent-replayed": "true" }) };
      if (wantsEvents(request)) return await followJob(context, reply, { id: job.id, headers });
      return reply
        .status(created ? 201 : 200)
        .headers(headers)
        .send(jobView(job));
    },
  );

  app.get(
    "/v1/jobs",
    {
      config: { access },
      schema: {
        summary: "List jobs, newest first",
        querystring: listQuery,
        response: { 200: jobPageSchema },
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
      const job = await findJob(context, request, request.params.id);
      const { wait } = request.query;
      return jobView(
        wait === undefined ? job : await waitForEnd(context, reply, { job, waitMs: waitTime(wait) }),
      );
    },
  );

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

function refuseWhenLeaving(context: ApiContext): void {
  if (!context.leaving.aborted) return;
  throw new SallyportError("hub_draining", "this hub takes no more jobs, it is about to stop");
}

function idempotencyKey(request: FastifyRequest): string | null {
  const key = request.headers["idempotency-key"];
  if (key === undefined) return null;
  if (typeof key === "string" && key !== "" && key.length <= maxKeyLength) return key;
  throw new SallyportError("request_invalid", `idempotency-key: needs 1 to ${maxKeyLength} characters`, {
    details: { field: "idempotency-key" },
  });
}

function wantsEvents(request: FastifyRequest): boolean {
  return (request.headers.accept ?? "").includes("text/event-stream");
}

function waitTime(text: string): number {
  const waitMs = parseDuration(text, "wait");
  if (waitMs <= maxWaitMs) return waitMs;
  throw new SallyportError("request_invalid", `wait: ${text} is more than 60s`, {
    details: { field: "wait" },
  });
}

/** The job once it is over, or as it is when the time is over or the hub leaves. */
async function waitForEnd(
  context: ApiContext,
  reply: FastifyReply,
  options: { job: JobRecord; waitMs: number },
): Promise<JobRecord> {
  using live = context.hub.live.open(options.job.id, "reader");
  using reader = readerSignal(reply, context.leaving);
  using deadline = deadlineSignal(options.waitMs, "waiting for the job");
  using either = linkSignals(reader.signal, deadline.signal);
  let latest = options.job;
  try {
    while (latest.result === null) {
      const changed = live.job.changed.wait();
      latest = (await live.job.record()) ?? latest;
      if (latest.result === null) await abortable(changed, either.signal);
    }
  } catch (error) {
    if (!either.signal.aborted || isError(error, "store_unavailable", "store_full")) throw error;
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

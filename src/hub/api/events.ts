import type { FastifyReply } from "fastify";
import { z } from "zod";
import { parseEventId } from "../live/event-id.ts";
import { jobEvents } from "../live/job-events.ts";
import type { LiveJob } from "../live/live-job.ts";
import { watchJob, type Api, type ApiContext } from "./context.ts";
import { readerSignal, sendEvents } from "./streaming.ts";
import { errorSchema, eventStream, replyOf } from "./views.ts";

export function eventRoutes(app: Api, context: ApiContext): void {
  app.get(
    "/v1/jobs/:id/events",
    {
      config: { access: ["jobs"] },
      schema: {
        summary: "What happens to a job, as server-sent events; resumes behind Last-Event-ID",
        params: z.strictObject({ id: z.string() }),
        querystring: z.strictObject({ lastEventId: z.string().max(64).optional() }),
        response: { 200: replyOf(eventStream), 204: z.null(), default: errorSchema },
      },
    },
    async (request, reply) => {
      const header = request.headers["last-event-id"];
      const lastEventId = (typeof header === "string" ? header : undefined) ?? request.query.lastEventId;
      const { use } = await watchJob(context, request, request.params.id);
      using live = use;
      return await followJob(context, reply, { job: live.job, lastEventId, headers: {} });
    },
  );
}

export interface FollowRequest {
  job: LiveJob;
  lastEventId?: string | undefined;
  headers: Record<string, string>;
}

/** Answers with the job's events; 204 when the client has seen the last. Throws `request_invalid` for an id that is none. */
export async function followJob(
  context: ApiContext,
  reply: FastifyReply,
  follow: FollowRequest,
): Promise<FastifyReply> {
  const { hub } = context;
  const after = follow.lastEventId === undefined ? undefined : parseEventId(follow.lastEventId);
  if (after?.ended === true) return reply.status(204).send();
  const headers = { ...follow.headers, "x-job-id": follow.job.id };
  if (reply.request.method === "HEAD") return reply.headers(headers).type("text/event-stream").send();
  using reader = readerSignal(reply, context.leaving);
  const { signal } = reader;
  const events = jobEvents({ job: follow.job, log: hub.store.log }, after, signal);
  await sendEvents({ reply, headers, signal, log: hub.log }, events);
  return await reply;
}

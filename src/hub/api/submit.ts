import type { FastifyRequest } from "fastify";
import { SallyportError } from "../../errors.ts";
import { jobRequestSchema } from "../../protocol/index.ts";
import { letBodyGo } from "./bodies.ts";
import { identityOf, type Api, type ApiContext } from "./context.ts";
import { followJob } from "./events.ts";
import { submitJob } from "./submission.ts";
import { errorSchema, eventStream, jobView, jobViewSchema, replyOf } from "./views.ts";

const maxKeyLength = 255;
const access = ["jobs"] as const;

export function submitRoutes(app: Api, context: ApiContext): void {
  app.post(
    "/v1/jobs",
    {
      config: { access },
      schema: {
        summary: "Submit a job",
        description:
          "With `Idempotency-Key`, the same body again gives the job submitted first. With `Accept: text/event-stream`, the job's events follow at once.",
        body: jobRequestSchema,
        response: {
          200: replyOf({ "application/json": jobViewSchema, ...eventStream }),
          201: jobViewSchema,
          default: errorSchema,
        },
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
      letBodyGo(request);
      const headers = { location: `/v1/jobs/${job.id}`, ...(!created && { "idempotent-replayed": "true" }) };
      if (wantsEvents(request)) {
        using live = context.hub.live.open(job.id, "reader");
        if (created) live.job.seed(job);
        return await followJob(context, reply, { job: live.job, headers });
      }
      return reply
        .status(created ? 201 : 200)
        .headers(headers)
        .send(jobView(job));
    },
  );
}

function refuseWhenLeaving(context: ApiContext): void {
  if (context.takesJobs()) return;
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

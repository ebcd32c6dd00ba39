import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { SallyportError } from "../../errors.ts";
import type { JobRecord } from "../../store/index.ts";
import { followedBytes, storedBytes, type StreamName } from "../live/stream-bytes.ts";
import { findJob, type Api, type ApiContext } from "./context.ts";
import { openStart, parseRange } from "./range.ts";
import { bodyOf, readerSignal, sendLive } from "./streaming.ts";
import { bytesReply, errorSchema } from "./views.ts";

const query = z.strictObject({
  attempt: z.coerce.number().int().min(1).max(1_000_000).optional(),
  follow: z.enum(["", "true", "false"]).optional(),
});

/** Stands for the last byte of what still grows. https://www.rfc-editor.org/rfc/rfc8673#section-3 */
const liveEnd = Number.MAX_SAFE_INTEGER;

interface OutputRequest {
  job: JobRecord;
  stream: StreamName;
  attempt: number | undefined;
  range: string | undefined;
}

export function outputRoutes(app: Api, context: ApiContext): void {
  for (const stream of ["stdout", "stderr"] as const) {
    app.get(
      `/v1/jobs/:id/${stream}`,
      {
        config: { access: ["jobs"] },
        schema: {
          summary: `What a job printed on ${stream}, byte for byte; with follow, until the job is over`,
          params: z.strictObject({ id: z.string() }),
          querystring: query,
          response: { 200: bytesReply, 206: bytesReply, default: errorSchema },
        },
      },
      async (request, reply) => {
        const { attempt, follow } = request.query;
        const job = await findJob(context, request, request.params.id);
        const wanted = { job, stream, attempt, range: rangeHeader(request) };
        void reply.type("application/octet-stream").header("cache-control", "no-store");
        const follows = follow === "" || follow === "true";
        return await (follows ? sendFollowed : sendStored)(context, reply, wanted);
      },
    );
  }
}

function rangeHeader(request: FastifyRequest): string | undefined {
  const { range } = request.headers;
  return typeof range === "string" ? range : undefined;
}

async function sendStored(
  context: ApiContext,
  reply: FastifyReply,
  wanted: OutputRequest,
): Promise<FastifyReply> {
  const { job, stream } = wanted;
  const { log } = context.hub.store;
  const attempt = wanted.attempt ?? job.attempts.at(-1)?.attempt ?? 1;
  if (wanted.attempt !== undefined) checkAttempt(job, wanted.attempt);
  const size = (await log.end(job.id, attempt))[stream];
  const range = parseRangeOf(reply, wanted.range, size);
  const { from, to } = range ?? { from: 0, to: size };
  void reply.header("accept-ranges", "bytes").header("content-length", to - from);
  if (range !== undefined) {
    void reply.status(206).header("content-range", `bytes ${from}-${to - 1}/${size}`);
  }
  if (reply.request.method === "HEAD") return reply.send();
  const live = context.hub.live.open(job.id, "reader");
  return reply.send(bodyOf(storedBytes({ job: live.job, log }, { attempt, stream, from, to }), live));
}

/** A 416 says how much there is. */
function parseRangeOf(
  reply: FastifyReply,
  header: string | undefined,
  size: number,
): ReturnType<typeof parseRange> {
  try {
    return parseRange(header, size);
  } catch (error) {
    void reply.header("content-range", `bytes */${size}`);
    throw error;
  }
}

function checkAttempt(job: JobRecord, attempt: number): void {
  if (job.attempts.some((entry) => entry.attempt === attempt)) return;
  throw new SallyportError("request_invalid", `attempt: the job had ${job.attempts.length} so far`, {
    details: { field: "attempt", attempts: job.attempts.length },
  });
}

/** The end is not known yet, so a range can only say where to begin, and the reply cannot say where it ends. */
async function sendFollowed(
  context: ApiContext,
  reply: FastifyReply,
  wanted: OutputRequest,
): Promise<FastifyReply> {
  const { job, stream, attempt } = wanted;
  const { hub, leaving } = context;
  const from = openStart(wanted.range);
  const part = { status: 206, headers: { "content-range": `bytes ${from}-${liveEnd}/*` } };
  const head = from > 0 ? part : { status: 200, headers: {} };
  if (reply.request.method === "HEAD") return reply.status(head.status).headers(head.headers).send();
  using live = hub.live.open(job.id, "reader");
  using reader = readerSignal(reply, leaving);
  const { signal } = reader;
  const source = { job: live.job, log: hub.store.log };
  const target = { reply, ...head, signal, log: hub.log };
  await sendLive(target, followedBytes(source, { stream, from, attempt }, signal));
  return await reply;
}

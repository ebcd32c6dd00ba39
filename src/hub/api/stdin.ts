import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { abortable } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import type { HubRecord } from "../../store/index.ts";
import { findJob, type Api, type ApiContext } from "./context.ts";
import { heldSchema } from "./neighbour.ts";
import { readerSignal } from "./streaming.ts";
import { errorSchema } from "./views.ts";

export function stdinRoutes(app: Api, context: ApiContext): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
  app.post(
    "/v1/jobs/:id/stdin",
    {
      config: { access: ["jobs"] },
      schema: {
        summary: "Append the body to the program's stdin, as it reads; ends stdin unless more",
        consumes: ["application/octet-stream"],
        body: z.unknown(),
        params: z.strictObject({ id: z.string() }),
        querystring: z.strictObject({ more: z.enum(["", "true", "false"]).optional() }),
        response: { 204: z.null(), default: errorSchema },
      },
    },
    async (request, reply) => {
      const { id } = await findJob(context, request, request.params.id);
      const spec = await context.hub.store.jobs.spec(id);
      if (spec?.stdin.mode !== "stream") throw notStreamed();
      const more = request.query.more === "" || request.query.more === "true";
      try {
        await (
          await wayTo(context, reply, id)
        )(bodyOf(request), more);
      } catch (error) {
        // what is left of the body is of no use to anybody
        void reply.header("connection", "close");
        throw error;
      }
      return reply.status(204).send(null);
    },
  );

  app.post(
    "/v1/neighbour/jobs/:id/stdin",
    {
      config: { access: "neighbour" },
      schema: {
        hide: true,
        params: z.strictObject({ id: z.string() }),
        querystring: z.object({ more: z.enum(["true", "false"]) }),
        response: { 204: z.null(), default: errorSchema },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const holder = context.hub.registry.holderOf(id);
      try {
        if (holder === undefined)
          throw new SallyportError("channel_closed", "stdin: the worker left this hub");
        const feed = holder.job.stdin(holder.connection.channel);
        await feed.post(bodyOf(request), request.query.more === "true");
      } catch (error) {
        void reply.header("connection", "close");
        throw error;
      }
      return reply.status(204).send(null);
    },
  );
}

function bodyOf({ raw }: FastifyRequest): AsyncIterable<Uint8Array> {
  return raw.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
}

type Way = (body: AsyncIterable<Uint8Array>, more: boolean) => Promise<void>;

/** The way to the program, as soon as the job is held by a worker of any hub. Throws `stdin_closed` when it ends before. */
async function wayTo(context: ApiContext, reply: FastifyReply, id: string): Promise<Way> {
  const { live, registry, neighbours } = context.hub;
  using use = live.open(id, "reader");
  using reader = readerSignal(reply, context.leaving);
  for (;;) {
    const changed = use.job.changed.wait();
    const holder = registry.holderOf(id);
    if (holder !== undefined) {
      const feed = holder.job.stdin(holder.connection.channel);
      return (body, more) => feed.post(body, more);
    }
    const record = await use.job.record();
    if (record === null || record.result !== null)
      throw new SallyportError("stdin_closed", "stdin: the job is over");
    const path = `/v1/neighbour/jobs/${id}`;
    const { answers } =
      record.state === "queued"
        ? { answers: [] }
        : await neighbours.askAll({ method: "GET", path }, heldSchema);
    const elsewhere = answers.find(({ value }) => value.held)?.hub;
    if (elsewhere !== undefined)
      return (body, more) => passOn(context, reply, { hub: elsewhere, path, body, more });
    await abortable(changed, reader.signal);
  }
}

/** The other hub answers once the program took all of it; it is told when the client leaves before. */
async function passOn(
  { hub }: ApiContext,
  reply: FastifyReply,
  to: { hub: HubRecord; path: string; body: AsyncIterable<Uint8Array>; more: boolean },
): Promise<void> {
  using left = readerSignal(reply, new AbortController().signal);
  const path = `${to.path}/stdin?more=${to.more}`;
  await hub.neighbours.send(to.hub, { method: "POST", path, body: to.body }, left.signal);
}

function notStreamed(): SallyportError {
  return new SallyportError("stdin_closed", "stdin: this job was submitted without a stream for it", {
    details: { field: "stdin", fix: 'submit the job with "stdin": {"stream": true}' },
  });
}

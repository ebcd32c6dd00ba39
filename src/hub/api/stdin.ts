import type { FastifyReply } from "fastify";
import { z } from "zod";
import { abortable } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import { stdinFeed, type StdinFeed } from "../connections/stdin.ts";
import { findJob, type Api, type ApiContext } from "./context.ts";
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
        params: z.strictObject({ id: z.string() }),
        querystring: z.strictObject({ more: z.enum(["", "true", "false"]).optional() }),
        response: { 204: z.null(), default: errorSchema },
      },
    },
    async (request, reply) => {
      const { id, spec } = await findJob(context, request, request.params.id);
      if (spec.stdin.mode !== "stream") throw notStreamed();
      const more = request.query.more === "" || request.query.more === "true";
      const body = request.raw.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
      try {
        const feed = await feedOf(context, reply, id);
        await feed.post(body, more);
      } catch (error) {
        // what is left of the body is of no use to anybody
        void reply.header("connection", "close");
        throw error;
      }
      return reply.status(204).send(null);
    },
  );
}

/** The way to the program, as soon as the job is held by a worker. Throws `stdin_closed` when it ends before. */
async function feedOf(context: ApiContext, reply: FastifyReply, id: string): Promise<StdinFeed> {
  using live = context.hub.live.open(id, "reader");
  using reader = readerSignal(reply, context.leaving);
  for (;;) {
    const changed = live.job.changed.wait();
    const holder = context.hub.registry.holderOf(id);
    if (holder !== undefined) return stdinFeed(holder.connection, holder.job);
    const record = await live.job.record();
    if (record === null || record.result !== null)
      throw new SallyportError("stdin_closed", "stdin: the job is over");
    await abortable(changed, reader.signal);
  }
}

function notStreamed(): SallyportError {
  return new SallyportError("stdin_closed", "stdin: this job was submitted without a stream for it", {
    details: { field: "stdin", fix: 'submit the job with "stdin": {"stream": true}' },
  });
}

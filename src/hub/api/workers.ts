import { z } from "zod";
import { steadyNow } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import { parseDuration } from "../../units.ts";
import type { WorkerRecord } from "../../store/index.ts";
import type { Api, ApiContext } from "./context.ts";
import { connectedView, errorSchema, absentView, workerViewSchema, type WorkerView } from "./views.ts";

export function workerRoutes(app: Api, context: ApiContext): void {
  app.get(
    "/v1/workers",
    {
      config: { access: ["jobs"] },
      schema: {
        summary: "Workers, those that were here before included",
        querystring: z.strictObject({}),
        response: { 200: z.object({ workers: z.array(workerViewSchema) }), default: errorSchema },
      },
    },
    async () => ({ workers: await workerViews(context) }),
  );

  app.post(
    "/v1/workers/:id/drain",
    {
      config: { access: ["admin"] },
      schema: {
        summary: "Let a worker finish what it holds and take nothing new",
        params: z.strictObject({ id: z.string() }),
        body: z.strictObject({ deadline: z.string().max(32).optional() }).nullish(),
        response: { 202: workerViewSchema, default: errorSchema },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const deadline = request.body?.deadline;
      const deadlineMs = deadline === undefined ? null : parseDuration(deadline, "deadline");
      const connection = context.hub.registry.get(id);
      if (connection === undefined) {
        throw new SallyportError(
          "worker_unknown",
          `worker ${JSON.stringify(id.slice(0, 128))} is not connected`,
          {
            details: { known: context.hub.registry.all().map((known) => known.workerId) },
          },
        );
      }
      connection.enter("draining");
      connection.channel.send({ type: "drain", deadlineMs });
      return reply.status(202).send(connectedView(connection, context.hub.hubId));
    },
  );
}

async function workerViews(context: ApiContext): Promise<WorkerView[]> {
  const { registry, store, hubId } = context.hub;
  const online = registry.all().map((connection) => connectedView(connection, hubId));
  const ids = new Set(online.map((worker) => worker.id));
  const shared = store.onHint !== undefined;
  const offline = (await store.fleet.workers())
    .filter((worker) => !ids.has(worker.workerId))
    .map((worker) => absentView(worker, { elsewhere: shared && isLive(worker, hubId) }));
  return [...online, ...offline].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function isLive({ hubId, sessionId, leaseUntil }: WorkerRecord, here: string): boolean {
  return hubId !== here && sessionId !== null && (leaseUntil ?? 0) > steadyNow();
}

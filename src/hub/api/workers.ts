import { z } from "zod";
import { steadyNow } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import { parseDuration } from "../../units.ts";
import type { WorkerRecord } from "../../store/index.ts";
import type { HubContext } from "../connections/context.ts";
import { drainHere } from "../connections/drain.ts";
import type { Api, ApiContext } from "./context.ts";
import { wholeFleet } from "./fleet.ts";
import { drainedSchema } from "./neighbour.ts";
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
      return reply.status(202).send(await drain(context.hub, id, deadlineMs));
    },
  );
}

/** Throws `worker_unknown`, or `hub_unreachable` when it may be connected to a hub that does not answer. */
async function drain(hub: HubContext, id: string, deadlineMs: number | null): Promise<WorkerView> {
  const connection = drainHere(hub, id, deadlineMs);
  if (connection !== undefined) return connectedView(connection, hub.hubId);
  const path = `/v1/neighbour/workers/${encodeURIComponent(id)}/drain`;
  const asked = await hub.neighbours.askAll({ method: "POST", path, json: { deadlineMs } }, drainedSchema);
  const [worker] = asked.answers.flatMap(({ value }) => value.worker ?? []);
  if (worker !== undefined) return worker;
  const { workers, silent } = await wholeFleet(hub);
  const named = JSON.stringify(id.slice(0, 128));
  const [away] = [...asked.silent, ...silent];
  if (away !== undefined) {
    throw new SallyportError("hub_unreachable", `worker ${named} may be connected to ${away.hubId}`, {
      details: { hub: away.hubId, fix: "try again" },
    });
  }
  throw new SallyportError("worker_unknown", `worker ${named} is not connected`, {
    details: { known: [...new Set(workers.map((known) => known.id))].sort() },
  });
}

async function workerViews({ hub }: ApiContext): Promise<WorkerView[]> {
  const [fleet, known] = await Promise.all([wholeFleet(hub), hub.store.fleet.workers()]);
  const hubOf = new Map(known.map(({ workerId, hubId }) => [workerId, hubId]));
  const views = new Map<string, WorkerView>();
  for (const view of fleet.workers) {
    // one that goes from hub to hub is where it said hello last
    if (!views.has(view.id) || hubOf.get(view.id) === view.hubId) views.set(view.id, view);
  }
  const shared = hub.store.hubs !== undefined;
  for (const worker of known.filter(({ workerId }) => !views.has(workerId))) {
    const elsewhere = shared && isLive(worker) && !fleet.heard.has(worker.hubId);
    views.set(worker.workerId, absentView(worker, { elsewhere }));
  }
  return [...views.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function isLive({ sessionId, leaseUntil }: WorkerRecord): boolean {
  return sessionId !== null && (leaseUntil ?? 0) > steadyNow();
}

import { z } from "zod";
import { SallyportError } from "../../errors.ts";
import type { Api, ApiContext } from "./context.ts";
import { replyOf } from "./views.ts";

const note = z.object({ code: z.string(), message: z.string() });
type Note = z.output<typeof note>;
const readiness = z.object({ ready: z.boolean(), reasons: z.array(note), notes: z.array(note) });

export function healthRoutes(app: Api, context: ApiContext): void {
  app.get(
    "/healthz",
    {
      config: { access: "open" },
      schema: {
        summary: "The process answers",
        security: [],
        response: { 200: z.object({ ok: z.boolean() }) },
      },
    },
    () => ({ ok: true }),
  );

  app.get(
    "/readyz",
    {
      config: { access: "open" },
      schema: {
        summary: "Jobs can be taken, or why not",
        security: [],
        response: { 200: readiness, 503: readiness },
      },
    },
    async (_request, reply) => {
      const reasons = await reasonsAgainst(context);
      const ready = reasons.length === 0;
      return reply.status(ready ? 200 : 503).send({ ready, reasons, notes: notes(context) });
    },
  );

  app.get(
    "/metrics",
    {
      config: { access: "open" },
      schema: {
        summary: "Figures for Prometheus",
        security: [],
        response: { 200: replyOf({ "text/plain": z.string() }) },
      },
    },
    async (_request, reply) => {
      const { contentType, text } = await context.hub.metrics.render(await fleetFigures(context));
      return reply.type(contentType).serializer(String).send(text);
    },
  );
}

async function reasonsAgainst(context: ApiContext): Promise<Note[]> {
  const reasons: Note[] = [];
  if (!context.takesJobs()) reasons.push({ code: "hub_draining", message: "this hub is about to stop" });
  try {
    await context.hub.store.check();
  } catch (error) {
    const { code, message } = SallyportError.from(error, "store_unavailable");
    reasons.push({ code, message });
  }
  return reasons;
}

function notes(context: ApiContext): Note[] {
  const anyReady = context.hub.registry.all().some((connection) => connection.phase === "ready");
  return anyReady ? [] : [{ code: "no_worker", message: "no worker is ready: jobs are kept until one is" }];
}

async function fleetFigures(context: ApiContext): Promise<Parameters<typeof context.hub.metrics.render>[0]> {
  const connections = context.hub.registry.all();
  const workers: Record<string, number> = { ready: 0, suspect: 0, draining: 0 };
  for (const { status } of connections) workers[status] = (workers[status] ?? 0) + 1;
  return {
    pools: await context.hub.store.leases.pools(),
    workers,
    held: connections.reduce((sum, connection) => sum + connection.held.size, 0),
    watched: context.hub.live.size,
  };
}

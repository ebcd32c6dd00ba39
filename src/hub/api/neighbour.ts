/** What other hubs on the same store ask this one, each time for what is connected to it and nothing else. */
import { z } from "zod";
import { drainHere } from "../connections/drain.ts";
import type { Api, ApiContext } from "./context.ts";
import { fleetSchema, ownFleet } from "./fleet.ts";
import { connectedView, errorSchema, workerViewSchema } from "./views.ts";

const config = { access: "neighbour" } as const;

export const drainedSchema = z.object({ worker: workerViewSchema.nullable() });
export const heldSchema = z.object({ held: z.boolean() });

export function neighbourRoutes(app: Api, { hub }: ApiContext): void {
  app.get(
    "/v1/neighbour/fleet",
    { config, schema: { hide: true, response: { 200: fleetSchema, default: errorSchema } } },
    () => ownFleet(hub),
  );

  app.post(
    "/v1/neighbour/workers/:id/drain",
    {
      config,
      schema: {
        hide: true,
        params: z.strictObject({ id: z.string() }),
        body: z.object({ deadlineMs: z.number().nullable() }),
        response: { 200: drainedSchema, default: errorSchema },
      },
    },
    (request) => {
      const connection = drainHere(hub, request.params.id, request.body.deadlineMs);
      return { worker: connection === undefined ? null : connectedView(connection, hub.hubId) };
    },
  );

  app.get(
    "/v1/neighbour/jobs/:id",
    {
      config,
      schema: {
        hide: true,
        params: z.strictObject({ id: z.string() }),
        response: { 200: heldSchema, default: errorSchema },
      },
    },
    (request) => ({ held: hub.registry.holderOf(request.params.id) !== undefined }),
  );
}

import { z } from "zod";
import type { RouteView } from "../tunnel/route-registry.ts";
import type { Api, ApiContext } from "./context.ts";
import { wholeFleet } from "./fleet.ts";
import { errorSchema } from "./views.ts";

const routeViewSchema = z.object({
  host: z.string(),
  /** what a job may name instead */
  name: z.string().nullable(),
  state: z.enum(["up", "down", "unknown"]),
  /** how many offer it */
  connectors: z.int(),
  /** what failed and why, where it is down */
  layer: z.string().nullable(),
  reason: z.string().nullable(),
  /** when it was last looked at, ISO 8601 */
  checkedAt: z.string().nullable(),
});

export function tunnelRoutes(app: Api, context: ApiContext): void {
  app.get(
    "/v1/routes",
    {
      config: { access: ["jobs"] },
      schema: {
        summary: "Routes jobs can be granted, with their health",
        querystring: z.strictObject({}),
        response: { 200: z.object({ routes: z.array(routeViewSchema) }), default: errorSchema },
      },
    },
    async () => ({ routes: (await wholeFleet(context.hub)).routes.map(shown) }),
  );
}

function shown({ host, name, state, offeredBy, layer, reason, checkedAt }: RouteView) {
  const at = checkedAt === null ? null : new Date(checkedAt).toISOString();
  return { host, name, state, connectors: offeredBy.length, layer, reason, checkedAt: at };
}

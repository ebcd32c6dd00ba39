/** What is said about routes, and the two halves of a byte stream that carries a caller to a proxy. */
import { z } from "zod";
import { limits } from "./limits.ts";

/** A full hostname in its canonical form: lower case, no trailing dot, no port. */
export const routeHost = z
  .string()
  .max(253)
  .regex(/^[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?$/, "must be a hostname in lower case");

/** A name jobs and callers can use. */
export const routeSchema = z.object({
  host: routeHost,
  /** the subdomain below the tunnel domain, which a job may name instead */
  name: routeHost.nullable(),
});
export type Route = z.output<typeof routeSchema>;

export const routeStates = ["up", "down", "unknown"] as const;
export type RouteState = (typeof routeStates)[number];

/** A route as the connector that has its upstream tells it. */
export const offeredRouteSchema = routeSchema.extend({
  state: z.enum(routeStates),
  /** what failed and why, where it is down */
  layer: z.string().max(32).nullable(),
  reason: z.string().max(256).nullable(),
  /** wall clock `ms` of the last look; null: never */
  checkedAt: z.number().nullable(),
});
export type OfferedRoute = z.output<typeof offeredRouteSchema>;

export const offeredRoutes = z.array(offeredRouteSchema).max(limits.routes);
export const knownRoutes = z.array(routeSchema).max(limits.routes);

/** Opened by the side that wants a connection to `host`; carries what that side sends. */
export const tunnelStreamSchema = z.object({
  kind: z.literal("tunnel"),
  host: routeHost,
  /** one id of the connection in every log it passes */
  requestId: z.string().min(1).max(128),
  /** only this connector will do */
  connector: z.string().min(1).max(128).optional(),
  /** who asks, for logs; the hub's word, whatever was said before it */
  caller: z.string().max(256).optional(),
});
export type TunnelStream = z.output<typeof tunnelStreamSchema>;

/** Opened in answer to stream `of`; carries what comes back. */
export const tunnelReplySchema = z.object({ kind: z.literal("tunnel.reply"), of: z.int().min(1) });
export type TunnelReply = z.output<typeof tunnelReplySchema>;

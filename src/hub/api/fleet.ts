/** Workers, routes and profiles as this hub sees them, and as all hubs on its store do. */
import { z } from "zod";
import { offeredRouteSchema, type ProfileOffer } from "../../protocol/index.ts";
import type { HubRecord } from "../../store/index.ts";
import type { HubContext } from "../connections/context.ts";
import { mergeViews, type RouteView } from "../tunnel/route-registry.ts";
import { connectedView, profileViewSchema, workerViewSchema, type ProfileView } from "./views.ts";

/** What is connected to one hub. */
export const fleetSchema = z.object({
  workers: z.array(workerViewSchema),
  routes: z.array(offeredRouteSchema.extend({ offeredBy: z.array(z.string()) })),
  profiles: z.array(profileViewSchema),
});
type Fleet = z.output<typeof fleetSchema>;

export interface WholeFleet extends Fleet {
  /** hubs that live and did not answer: what is connected to them is missing */
  silent: HubRecord[];
  /** hubs whose workers are all here, this one included */
  heard: ReadonlySet<string>;
}

export function ownFleet({ registry, tunnel, hubId }: HubContext): Fleet {
  return {
    workers: registry.all().map((connection) => connectedView(connection, hubId)),
    routes: tunnel.routes.views(),
    profiles: ownProfiles(registry.all()),
  };
}

/** Asks every other hub; a worker on its way from one to another may be there twice. */
export async function wholeFleet(hub: HubContext): Promise<WholeFleet> {
  const { answers, silent } = await hub.neighbours.askAll(
    { method: "GET", path: "/v1/neighbour/fleet" },
    fleetSchema,
  );
  const fleets = [ownFleet(hub), ...answers.map(({ value }) => value)];
  const routes: RouteView[] = fleets.flatMap((fleet) => fleet.routes);
  return {
    workers: fleets.flatMap(({ workers }) => workers),
    routes: mergeViews(routes),
    profiles: mergeProfiles(fleets.flatMap(({ profiles }) => profiles)),
    silent,
    heard: new Set([hub.hubId, ...answers.map((answer) => answer.hub.hubId)]),
  };
}

interface Serving {
  readonly profiles: ReadonlyMap<string, ProfileOffer>;
  readonly warm: Readonly<Record<string, number>>;
}

/** Each profile of a worker online once. */
function ownProfiles(online: readonly Serving[]): ProfileView[] {
  return mergeProfiles(
    online.flatMap(({ profiles, warm }) =>
      [...profiles.values()].map((offer) =>
        offer.unusable === null
          ? { ...offer, warm: warm[offer.name] ?? 0, workers: 1 }
          : { ...offer, warm: 0, workers: 0 },
      ),
    ),
  );
}

/** As whoever is nearest to serving it tells it, with what all have together. */
function mergeProfiles(views: readonly ProfileView[]): ProfileView[] {
  const merged = new Map<string, ProfileView>();
  for (const view of views) {
    const other = merged.get(view.name);
    const shown = other === undefined || byNearness(view, other) < 0 ? view : other;
    const workers = view.workers + (other?.workers ?? 0);
    merged.set(view.name, { ...shown, warm: view.warm + (other?.warm ?? 0), workers });
  }
  return [...merged.values()];
}

/** Whoever is nearest to serving it first. */
export function byNearness(a: ProfileOffer, b: ProfileOffer): number {
  return distance(a) - distance(b);
}

/** A job for it may be taken: somebody serves it, or is preparing to. */
export function isTaken(offer: ProfileOffer): boolean {
  return distance(offer) < 2;
}

/** from serving it: 0 for who can, 1 for who is preparing to */
function distance({ unusable }: ProfileOffer): number {
  if (unusable === null) return 0;
  return unusable.code === "profile_preparing" ? 1 : 2;
}

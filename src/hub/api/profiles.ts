import { z } from "zod";
import type { ProfileOffer } from "../../protocol/index.ts";
import type { Api, ApiContext } from "./context.ts";
import { errorSchema, profileViewSchema, type ProfileView } from "./views.ts";

const access = ["jobs"] as const;

export function profileRoutes(app: Api, context: ApiContext): void {
  app.get(
    "/v1/profiles",
    {
      config: { access },
      schema: {
        summary: "Profiles jobs can name",
        querystring: z.strictObject({}),
        response: { 200: z.object({ profiles: z.array(profileViewSchema) }), default: errorSchema },
      },
    },
    async () => ({ profiles: await profileViews(context) }),
  );
}

/** Each profile once, as a worker that can serve it tells it; from memory when no worker online has it. */
async function profileViews(context: ApiContext): Promise<ProfileView[]> {
  const { registry, store } = context.hub;
  const views = new Map<string, ProfileView>();
  for (const { offer } of await store.fleet.profiles())
    views.set(offer.name, { ...offer, warm: 0, workers: 0 });
  const online = new Map<string, ProfileOffer[]>();
  for (const connection of registry.all()) {
    for (const [name, profile] of connection.profiles) {
      online.set(name, [...(online.get(name) ?? []), { ...profile, warm: connection.warm[name] ?? 0 }]);
    }
  }
  for (const [name, offers] of online) {
    const usable = offers.filter((offer) => offer.unusable === null);
    const shown = usable[0] ?? offers[0];
    const warm = usable.reduce((sum, offer) => sum + offer.warm, 0);
    if (shown !== undefined) views.set(name, { ...shown, warm, workers: usable.length });
  }
  return [...views.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

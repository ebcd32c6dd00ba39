import { z } from "zod";
import type { Api, ApiContext } from "./context.ts";
import { wholeFleet } from "./fleet.ts";
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
async function profileViews({ hub }: ApiContext): Promise<ProfileView[]> {
  const [fleet, known] = await Promise.all([wholeFleet(hub), hub.store.fleet.profiles()]);
  const views = new Map(known.map(({ offer }) => [offer.name, { ...offer, warm: 0, workers: 0 }]));
  for (const view of fleet.profiles) views.set(view.name, view);
  return [...views.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

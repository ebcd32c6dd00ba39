/** From a request's body to a queued job. */
import { SallyportError } from "../../errors.ts";
import { limits, resolveJob, type ParsedJobRequest, type ProfileOffer } from "../../protocol/index.ts";
import type { JobRecord, NewJob } from "../../store/index.ts";
import type { Identity } from "../auth/keys.ts";
import type { HubContext } from "../connections/context.ts";
import { isStoreTrouble } from "../connections/persist.ts";
import { dispatchAlong } from "../dispatch/dispatcher.ts";
import { newJobId } from "../job-id.ts";
import { byNearness, isTaken, wholeFleet } from "./fleet.ts";

export interface Submission {
  request: ParsedJobRequest;
  identity: Identity;
  idempotencyKey: string | null;
  /** of the body as it came */
  digest: string;
}

/**
 * Queues the job, or finds the one submitted before under the same key. Throws `profile_unknown`, `profile_unusable`, `route_unknown`,
 * what `resolveJob` throws, and what the store throws; then nothing was kept.
 */
export async function submitJob(
  hub: HubContext,
  submission: Submission,
): Promise<{ job: JobRecord; created: boolean }> {
  const { request, identity, idempotencyKey, digest } = submission;
  const { spec, inputs } = resolveJob(request, await usableProfile(hub, request.profile));
  await checkRoutes(hub, request);
  const now = Date.now();
  const id = newJobId(now);
  const job: NewJob = {
    id,
    tenant: { id: identity.tenant, weight: identity.weight },
    spec,
    inputs,
    idempotencyKey,
    requestDigest: digest,
    now,
  };
  const submitting = hub.store.jobs.submit(job);
  const along = dispatchAlong(hub, job);
  along.catch(() => undefined);
  const submitted = await submitting;
  if (submitted.created) hub.tasks.start("dispatch of a new job", () => wakeUnlessGone(hub, along));
  return submitted;
}

/** The dispatch loop looks for whoever was not handed over at once. */
async function wakeUnlessGone(hub: HubContext, along: Promise<boolean>): Promise<void> {
  try {
    if (await along) return;
  } catch (error) {
    if (!isStoreTrouble(error)) throw error;
  }
  hub.wake.because("job queued");
}

/**
 * The profile as some worker serves it, here or at another hub; one that is known from before when none is connected that has it. A job
 * for one that is only being prepared waits as it would for a worker that is being started.
 */
async function usableProfile(hub: HubContext, name: string): Promise<ProfileOffer> {
  const online = hub.registry.offersOf(name);
  const known = online.length > 0 ? online : await rememberedOffers(hub, name);
  const usable = known.find(({ unusable }) => unusable === null);
  if (usable !== undefined) return usable;
  const { profiles } = await wholeFleet(hub);
  const [nearest] = [...known, ...profiles.filter((profile) => profile.name === name)].sort(byNearness);
  if (nearest === undefined) throw await profileUnknown(hub, name);
  if (isTaken(nearest)) return nearest;
  const reason = nearest.unusable?.message ?? "no worker can serve it";
  throw new SallyportError("profile_unusable", `profile: ${name} cannot be served: ${reason}`, {
    details: { field: "profile", profile: name, reason: nearest.unusable },
  });
}

async function rememberedOffers(hub: HubContext, name: string): Promise<ProfileOffer[]> {
  const known = await hub.store.fleet.profiles();
  return known.filter(({ offer }) => offer.name === name).map(({ offer }) => offer);
}

async function profileUnknown(hub: HubContext, name: string): Promise<SallyportError> {
  const remembered = (await hub.store.fleet.profiles()).map(({ offer }) => offer.name);
  const online = hub.registry.all().flatMap((connection) => [...connection.profiles.keys()]);
  const known = [...new Set([...online, ...remembered])].sort();
  const fix = known.length === 0 ? "start a worker that offers it" : `use one of: ${known.join(", ")}`;
  return new SallyportError("profile_unknown", `profile: no worker ever offered ${JSON.stringify(name)}`, {
    details: { field: "profile", known, fix },
  });
}

/** Each host is a route's full name or its short one; gateways on the way in know both. Other hubs are asked for what this one lacks. */
async function checkRoutes(hub: HubContext, { mcp }: ParsedJobRequest): Promise<void> {
  if (mcp.every(({ host }) => hub.tunnel.routes.knows(host))) return;
  const { routes, silent } = await wholeFleet(hub);
  const at = mcp.findIndex(({ host }) => !routes.some((route) => route.host === host || route.name === host));
  if (at === -1) return;
  const host = mcp[at]?.host ?? "";
  const [away] = silent;
  if (away !== undefined) {
    throw new SallyportError(
      "hub_unreachable",
      `mcp[${at}].host: ${away.hubId} was not heard about ${host}`,
      { details: { field: `mcp[${at}].host`, host, hub: away.hubId, fix: "try again" } },
    );
  }
  const known = routes.slice(0, limits.routes).map((route) => route.name ?? route.host);
  throw new SallyportError("route_unknown", `mcp[${at}].host: no route to ${host}`, {
    details: { field: `mcp[${at}].host`, host, layer: "name", known, fix: "see `sallyport routes ls`" },
  });
}

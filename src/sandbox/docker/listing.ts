/** Which containers an engine has, by their labels. */
import type { ContainerInfo } from "dockerode";
import { withDeadline } from "../../async/index.ts";
import type { Engine } from "./engine.ts";
import { engineCall, statusOf } from "./errors.ts";

/** How long the engine may take to tell of a container that it lists as dead, in `ms`: it may be stuck in it */
const lookMs = 5_000;

/**
 * Those with all these labels, in any state. An engine that was stopped while containers removed themselves goes on
 * listing some as dead that it does not have, so that nobody can remove them (https://github.com/moby/moby/pull/51692);
 * they are left out.
 */
export async function listContainers(engine: Engine, label: string[]): Promise<ContainerInfo[]> {
  const listed = await engineCall(
    { operation: "list", subject: engine.address },
    engine.docker.listContainers({ all: true, filters: { label } }),
  );
  const there = await Promise.all(listed.map(async ({ Id, State }) => State !== "dead" || has(engine, Id)));
  return listed.filter((_, at) => there[at]);
}

/** True also where the engine does not say. */
async function has({ docker }: Engine, id: string): Promise<boolean> {
  return await withDeadline(docker.getContainer(id).inspect(), lookMs, "looking at a dead container").then(
    () => true,
    (error: unknown) => statusOf(error) !== 404,
  );
}

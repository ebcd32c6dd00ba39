/** Which containers an engine has, by their labels. */
import type { ContainerInfo } from "dockerode";
import type { Engine } from "./engine.ts";
import { engineCall, statusOf } from "./errors.ts";

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

async function has({ docker }: Engine, id: string): Promise<boolean> {
  return await docker
    .getContainer(id)
    .inspect()
    .then(
      () => true,
      (error: unknown) => statusOf(error) !== 404,
    );
}

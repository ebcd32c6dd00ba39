/** Removing what the workers of a run that was stopped have left on the engine. */
import { setTimeout as sleep } from "node:timers/promises";
import { EngineClient } from "../setup/engine-client.mjs";

const label = "dev.sallyport.worker";

/**
 * A sandbox that was made and not started yet outlives its worker, and one that was being made comes a moment later. What cannot be
 * removed is told, and says nothing about the tests.
 * @param {string} dockerHost
 * @param {string[]} workers their ids
 */
export async function removeSandboxes(dockerHost, workers) {
  if (workers.length === 0) return;
  const client = new EngineClient(dockerHost);
  try {
    for (const waitMs of [0, 1_000]) {
      await sleep(waitMs);
      const all = await client.containers(label);
      const left = all.filter(({ Labels }) => workers.includes(Labels[label]));
      await Promise.all(left.map(({ Id }) => client.removeContainer(Id)));
    }
  } catch (error) {
    console.error(`sandboxes may be left: ${error.message}`);
  }
}

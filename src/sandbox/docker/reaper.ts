/** Finding and removing what an earlier life of this worker, or a lost answer of the engine, left behind. */
import { SallyportError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { SandboxInfo } from "../contract.ts";
import type { Engine } from "./engine.ts";
import { ownerFilter, readLabels } from "./labels.ts";
import { listContainers } from "./listing.ts";
import { removeContainer } from "./remove.ts";

/** Every container with this worker's label, in any state. */
export async function listSandboxes(engine: Engine, worker: string): Promise<SandboxInfo[]> {
  const found = await listContainers(engine, ownerFilter({ worker }));
  return found.map((container) => readLabels(container.Id, container.Labels, container.Created * 1_000));
}

/** Which of `found` nobody owns any more: not live, and older than the grace that covers a creation under way. */
export function orphans(
  found: readonly SandboxInfo[],
  known: { live: ReadonlySet<string>; now: number; graceMs: number },
): SandboxInfo[] {
  return found.filter(({ id, createdAt }) => !known.live.has(id) && createdAt <= known.now - known.graceMs);
}

/** Removes them all, those that will not go are logged and left for the next time; returns the ids that went. */
export async function removeAll(
  deps: { engine: Engine; log: Log },
  found: readonly SandboxInfo[],
): Promise<string[]> {
  const gone: string[] = [];
  for (const { id, lease } of found) {
    try {
      await removeContainer(deps.engine, { container: id });
      gone.push(id);
    } catch (error) {
      deps.log.warn({ sandbox: id, lease, err: SallyportError.from(error) }, "orphan not removed");
    }
  }
  return gone;
}

import { readEnvironment, sandboxSettings } from "../config/index.ts";
import { watchEngine, type EngineWatch } from "../sandbox/index.ts";

/** Looks on at what these workers make on this host's engine. */
export async function watchSandboxes(workers: readonly string[]): Promise<EngineWatch> {
  const { dockerHost } = sandboxSettings({}, readEnvironment(), process.cwd());
  return await watchEngine(workers, dockerHost);
}

import { deferred } from "../async/index.ts";
import type { HubSettings } from "../config/index.ts";
import { createLog } from "../log.ts";
import { assembleHub } from "./assemble-hub.ts";
import { live, type RoleHost } from "./life.ts";

/** How long open replies may take once the hub is to stop, in `ms`; jobs go on in their workers. */
const defaultDrainMs = 10_000;

export async function runHub(settings: HubSettings, host: RoleHost): Promise<number> {
  const log = createLog({ level: settings.logLevel });
  const { host: bind, port, publicHosts, advertise, stateDir, database, edge, drainMs } = settings;
  await using assembled = await assembleHub(
    { stateDir, database },
    {
      host: bind,
      port,
      publicHosts,
      ...(advertise !== null && { advertise }),
      ...(edge !== null && { edge }),
    },
    log,
  );
  const { hub } = assembled;
  const over = deferred<void>();
  host.announce({ event: "ready", url: hub.url, hub: hub.id, ...(hub.edge !== null && { edge: hub.edge }) });
  const role = {
    over: over.promise,
    drain: async () => {
      await hub.drain(drainMs ?? defaultDrainMs);
      over.resolve();
    },
    abort: (reason: Parameters<typeof hub.abort>[0]) => {
      hub.abort(reason);
      over.resolve();
    },
  };
  return await live(role, { host, log });
}

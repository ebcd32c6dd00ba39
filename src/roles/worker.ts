import type { WorkerSettings } from "../config/index.ts";
import { createLog } from "../log.ts";
import { assembleWorker } from "./assemble-worker.ts";
import { holdFolder } from "../hold.ts";
import { live, type RoleHost } from "./life.ts";

export async function runWorker(settings: WorkerSettings, host: RoleHost): Promise<number> {
  const log = createLog({ level: settings.logLevel });
  await using _held = await holdFolder(settings.stateDir, "worker");
  const link = { url: settings.hub, tokenFile: settings.tokenFile };
  await using assembled = await assembleWorker(settings, link, { log, host });
  const { worker, workerId } = assembled;
  worker.onReady(() => host.announce({ event: "ready", worker: workerId, hub: settings.hub }));
  const role = {
    over: worker.run(),
    drain: () => worker.drain(),
    abort: worker.abort.bind(worker),
  };
  return await live(role, { host, log, drainMs: settings.drainMs });
}

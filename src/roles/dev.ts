import { join } from "node:path";
import { writeDevFile, type DevSettings } from "../config/index.ts";
import { createLog } from "../log.ts";
import { assembleHub } from "./assemble-hub.ts";
import { assembleWorker } from "./assemble-worker.ts";
import { live, type RoleHost } from "./life.ts";

/** How long the hub's open replies may take once its worker is gone, in `ms` */
const lastRepliesMs = 2_000;

/** Hub, worker and the worker's part as a connector in one process; the worker reaches the hub as any other would, through its listener. */
export async function runDev(settings: DevSettings, host: RoleHost): Promise<number> {
  const log = createLog({ level: settings.logLevel });
  const { stateDir, port, edge, drainMs } = settings;
  await using stack = new AsyncDisposableStack();
  const { hub } = stack.use(
    await assembleHub(
      { stateDir, database: null },
      { host: "127.0.0.1", port, ...(edge !== null && { edge }) },
      log,
    ),
  );
  const link = { url: hub.url, tokenFile: join(stateDir, "worker.token") };
  const { worker } = stack.use(await assembleWorker(settings, link, { log, host }));
  const keyFile = join(stateDir, "admin.key");
  worker.onReady(() => {
    stack.use(writeDevFile(stateDir, { url: hub.url, keyFile, pid: process.pid }));
    host.announce({ event: "ready", url: hub.url, keyFile, ...(hub.edge !== null && { edge: hub.edge }) });
  });
  const role = {
    over: worker.run(),
    drain: async () => {
      // nobody would run them; who follows what runs is let go when that is over
      hub.takeNoMore();
      await worker.drain();
    },
    abort: worker.abort.bind(worker),
  };
  const code = await live(role, { host, log, drainMs });
  await hub.drain(lastRepliesMs);
  return code;
}

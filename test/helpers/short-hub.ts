/**
 * A hub as its own process whose intervals are short: `node short-hub.ts '{"dir":…,"port":0,"intervals":{…},"logLevel":"debug"}'`.
 * A signal drains it as `sallyport hub` would; the intervals are the hub's to choose and no flag names them.
 */
import { createHub, openKeyRing } from "../../src/hub/index.ts";
import { createLog } from "../../src/log.ts";
import type { Intervals } from "../../src/protocol/index.ts";
import { openSqliteStore } from "../../src/store/index.ts";

interface Asked {
  dir: string;
  port: number;
  intervals: Partial<Intervals>;
  logLevel: string;
}

const { dir, port, intervals, logLevel } = JSON.parse(process.argv[2] ?? "") as Asked;
const log = createLog({ level: logLevel });
const keys = await openKeyRing({ log }, { dir });
await using store = await openSqliteStore({ log }, { dir });
await using hub = await createHub({ store, log, keys }, { host: "127.0.0.1", port, intervals });
const told = Promise.withResolvers<void>();
process.once("SIGTERM", () => told.resolve()).once("SIGINT", () => told.resolve());
process.stdout.write(`${JSON.stringify({ event: "ready", url: hub.url, hub: hub.id })}\n`);
await told.promise;
await hub.drain(10_000);

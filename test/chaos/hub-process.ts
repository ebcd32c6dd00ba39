/** A hub of its own process with short intervals: `node hub-process.ts '{"dir":…,"port":0,…}'`. Prints a ready line; SIGTERM drains it. */
import { createHub, openKeyRing } from "../../src/hub/index.ts";
import { createLog } from "../../src/log.ts";
import type { Intervals } from "../../src/protocol/index.ts";
import { openSqliteStore } from "../../src/store/index.ts";

export interface HubSettings {
  /** folder of keys, and of the SQLite store */
  dir: string;
  port: number;
  intervals: Partial<Intervals>;
  logLevel: string;
}

const { dir, port, intervals, logLevel } = JSON.parse(process.argv[2] ?? "") as HubSettings;
const log = createLog({ level: logLevel });
const keys = await openKeyRing({ log }, { dir });
await using store = await openSqliteStore({ log }, { dir });
await using hub = await createHub({ store, log, keys }, { host: "127.0.0.1", port, intervals });
const told = Promise.withResolvers<void>();
process.once("SIGTERM", () => told.resolve());
process.stdout.write(`${JSON.stringify({ event: "ready", url: hub.url })}\n`);
await told.promise;
await hub.drain(3_000);

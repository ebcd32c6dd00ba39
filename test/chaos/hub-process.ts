/** A hub of its own process with short intervals: `node hub-process.ts '{"dir":…,"port":0,…}'`. Prints a ready line; SIGTERM drains it. */
import { createHub, openKeyRing } from "../../src/hub/index.ts";
import { createLog } from "../../src/log.ts";
import { defaultIntervals, type Intervals } from "../../src/protocol/index.ts";
import { openPostgresStore, openSqliteStore } from "../../src/store/index.ts";
import { followWallClock } from "./clock.ts";

export interface HubSettings {
  /** folder of keys, and of the store where there is no database */
  dir: string;
  /** its URL */
  database: string | null;
  port: number;
  intervals: Partial<Intervals>;
  logLevel: string;
}

const { dir, database, port, intervals, logLevel } = JSON.parse(process.argv[2] ?? "") as HubSettings;
followWallClock();
const log = createLog({ level: logLevel });
const keys = await openKeyRing({ log }, { dir });
await using store = await (database === null
  ? openSqliteStore({ log }, { dir, leaseMs: intervals.leaseMs ?? defaultIntervals.leaseMs })
  : openPostgresStore({ log }, { url: database }));
await using hub = await createHub({ store, log, keys }, { host: "127.0.0.1", port, intervals });
const told = Promise.withResolvers<void>();
process.once("SIGTERM", () => told.resolve());
process.stdout.write(`${JSON.stringify({ event: "ready", url: hub.url })}\n`);
await told.promise;
await hub.drain(3_000);

/** A hub of its own process with short intervals: `node hub-process.ts '{"dir":…,"port":0,…}'`. Prints a ready line; SIGTERM drains it. */
import { createLog } from "../../src/log.ts";
import type { Intervals } from "../../src/protocol/index.ts";
import { assembleHub } from "../../src/roles/assemble-hub.ts";
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
const options = { host: "127.0.0.1", port, intervals };
await using assembled = await assembleHub({ stateDir: dir, database }, options, log);
const { hub } = assembled;
const told = Promise.withResolvers<void>();
process.once("SIGTERM", () => told.resolve());
process.stdout.write(`${JSON.stringify({ event: "ready", url: hub.url })}\n`);
await told.promise;
await hub.drain(3_000);

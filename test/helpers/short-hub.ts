/**
 * A hub as its own process whose intervals are short: `node short-hub.ts '{"dir":…,"port":0,"intervals":{…},"logLevel":"debug"}'`.
 * A signal drains it as `sallyport hub` would; the intervals are the hub's to choose and no flag names them.
 */
import { createLog } from "../../src/log.ts";
import type { Intervals } from "../../src/protocol/index.ts";
import { assembleHub } from "../../src/roles/assemble-hub.ts";

interface Asked {
  dir: string;
  port: number;
  intervals: Partial<Intervals>;
  logLevel: string;
}

const { dir, port, intervals, logLevel } = JSON.parse(process.argv[2] ?? "") as Asked;
const log = createLog({ level: logLevel });
const options = { host: "127.0.0.1", port, intervals };
await using assembled = await assembleHub({ stateDir: dir, database: null }, options, log);
const { hub } = assembled;
const told = Promise.withResolvers<void>();
process.once("SIGTERM", () => told.resolve()).once("SIGINT", () => told.resolve());
process.stdout.write(`${JSON.stringify({ event: "ready", url: hub.url, hub: hub.id })}\n`);
await told.promise;
await hub.drain(10_000);

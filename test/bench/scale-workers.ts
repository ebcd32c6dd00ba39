/**
 * Many workers on fake drivers in one process: `node scale-workers.ts '{"hubs":[…],"tokenFile":…,"dir":…,"first":0,"count":100,"slots":16}'`.
 * Prints a ready line once all are welcome. A signal ends it as a crash would: nothing it made outlives it.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { dialChannel, workerDialect } from "../../src/channel/index.ts";
import { createLog } from "../../src/log.ts";
import { createFakeDriver } from "../../src/sandbox/index.ts";
import { createWorker } from "../../src/worker/index.ts";
import { noopProfile } from "./noop-profile.ts";

export interface ScaleWorkers {
  /** workers go to them in turn */
  hubs: readonly string[];
  tokenFile: string;
  dir: string;
  /** number of the first worker */
  first: number;
  count: number;
  slots: number;
}

const { hubs, tokenFile, dir, first, count, slots } = JSON.parse(process.argv[2] ?? "") as ScaleWorkers;
const log = createLog({ level: "error" });
const token = readFileSync(tokenFile, "utf8").trim();
const profile = noopProfile("10m");
const ready = Array.from({ length: count }, (_, at) => start(first + at));
await Promise.all(ready);
console.log(JSON.stringify({ event: "ready" }));

function start(number: number): Promise<void> {
  const url = hubs[number % hubs.length] ?? "";
  const worker = createWorker(
    {
      driver: createFakeDriver({ worker: `scale-${number}` }),
      dial: (signal) => dialChannel({ url, token, dialect: workerDialect, log, signal }),
      profiles: () => new Map([[profile.name, profile]]),
      log,
    },
    {
      workerId: `scale-${number}`,
      bootId: "scale",
      version: "0",
      labels: {},
      slots,
      memoryBytes: 2 ** 32,
      cpus: 2,
      spoolDir: join(dir, `spool-${number}`),
      pool: false,
    },
  );
  void worker.run();
  return new Promise((resolve) => worker.onReady(resolve));
}

/** A worker on the fake driver: `node noop-worker.ts HUB_URL TOKEN_FILE STATE_DIR`. Prints a ready line; SIGTERM drains it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { dialChannel, workerDialect } from "../../src/channel/index.ts";
import { keepBuffersShortLived } from "../../src/heap.ts";
import { createLog } from "../../src/log.ts";
import { createFakeDriver } from "../../src/sandbox/index.ts";
import { createWorker } from "../../src/worker/index.ts";
import { noopProfile } from "./noop-profile.ts";

keepBuffersShortLived();
const [url = "", tokenFile = "", stateDir = ""] = process.argv.slice(2);
const log = createLog({ level: "warn" });
const profile = noopProfile();
const worker = createWorker(
  {
    driver: createFakeDriver(),
    dial: (signal) =>
      dialChannel({
        url,
        token: readFileSync(tokenFile, "utf8").trim(),
        dialect: workerDialect,
        log,
        signal,
      }),
    profiles: () => new Map([[profile.name, profile]]),
    log,
  },
  {
    workerId: "bench",
    bootId: "bench",
    version: "0",
    labels: {},
    slots: 64,
    memoryBytes: 2 ** 32,
    cpus: 2,
    spoolDir: join(stateDir, "spool"),
  },
);
worker.onReady(() => console.log(JSON.stringify({ event: "ready" })));
process.once("SIGTERM", () => void worker.drain(5_000));
await worker.run();
await worker[Symbol.asyncDispose]();

/** A worker of its own process on a driver under a witness: `node worker-process.ts '{"urls":[…],…}'`. Prints a ready line; SIGTERM drains it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { dialChannel, workerDialect, type WorkerChannel } from "../../src/channel/index.ts";
import { createLog } from "../../src/log.ts";
import { createDockerDriver, parseProfile, type Driver } from "../../src/sandbox/index.ts";
import { createWorker, readWorkerIdentity } from "../../src/worker/index.ts";
import { guestPath } from "../helpers/docker.ts";
import { followWallClock } from "./clock.ts";
import { Ledger } from "./ledger.ts";
import { createStreamDriver, createWitnessDriver } from "./witness-driver.ts";

export interface WorkerSettings {
  /** ways to the hubs, tried in turn */
  urls: readonly string[];
  tokenFile: string;
  stateDir: string;
  ledger: string;
  slots: number;
  /** how long making a sandbox takes where there is no engine, `ms` */
  createMs: number;
  /** the engine that makes sandboxes; null: none are made really */
  dockerHost: string | null;
  logLevel: string;
}

const settings = JSON.parse(process.argv[2] ?? "") as WorkerSettings;
const inContainer = { cpus: 0.5, memory: "48MiB", pids: 16, workspace: "1MiB", tmp: "1MiB" };
const inNone = { cpus: 0.05, memory: "16MiB", pids: 8, workspace: "64KiB", tmp: "64KiB" };
const profile = parseProfile(
  {
    name: "chaos",
    shape: "fanout",
    image: settings.dockerHost === null ? "none" : "sallyport/python",
    resources: settings.dockerHost === null ? inNone : inContainer,
    limits: { wallClock: "60s", output: "16MiB", artifacts: "1MiB" },
  },
  "chaos.json",
);
followWallClock();
const log = createLog({ level: settings.logLevel });
const { workerId, bootId, life } = await readWorkerIdentity(settings.stateDir);
using ledger = new Ledger(settings.ledger);
const grants = new Map<string, { attempt: number; epoch: number }>();
let dials = 0;

async function dial(signal: AbortSignal): Promise<WorkerChannel> {
  const url = settings.urls[dials % settings.urls.length] ?? "";
  dials += 1;
  const token = readFileSync(settings.tokenFile, "utf8").trim();
  const channel: WorkerChannel = await dialChannel({ url, token, dialect: workerDialect, log, signal });
  const listen = channel.listen.bind(channel);
  channel.listen = (handlers) =>
    listen({
      message(message) {
        if (message.type === "offer") {
          const { lease, attempt, epoch } = message;
          ledger.write({ type: "offered", job: lease, attempt, epoch });
          grants.set(lease, { attempt, epoch });
        }
        return handlers.message(message);
      },
      stream: (stream) => handlers.stream(stream),
    });
  return channel;
}

function createDriver(): Driver {
  const { createMs, dockerHost } = settings;
  const witness = { ledger, grantOf: (job: string) => grants.get(job) ?? { attempt: 0, epoch: 0 } };
  if (dockerHost === null) return createStreamDriver(witness, createMs);
  const owner = { worker: workerId, boot: bootId };
  const docker = createDockerDriver({ log }, { ...owner, dockerHost, guestPath });
  return createWitnessDriver(docker, witness);
}

await using driver = createDriver();
const worker = createWorker(
  {
    driver,
    dial,
    profiles: () => new Map([[profile.name, profile]]),
    log,
  },
  {
    workerId,
    bootId,
    life,
    version: "0",
    labels: {},
    slots: settings.slots,
    memoryBytes: 2 ** 32,
    cpus: 2,
    spoolDir: join(settings.stateDir, "spool"),
    spoolBytes: 2 ** 20,
    spoolMemoryBytes: 64 * 2 ** 10,
    pool: false,
    times: { backoffBaseMs: 100, backoffCapMs: 1_000, connectMs: 3_000, resendMs: 2_000, cleanUpMs: 3_000 },
  },
);
process.once("SIGTERM", () => {
  process.once("SIGTERM", () => void worker[Symbol.asyncDispose]());
  void worker.drain(15_000);
});
const running = worker.run();
process.stdout.write(`${JSON.stringify({ event: "ready", worker: workerId })}\n`);
await running;
await worker[Symbol.asyncDispose]();

/**
 * `dev` with marks: `node traced-dev.ts STATE_DIR`. Prints a ready line; for each line on stdin one line of JSON with the marks
 * since the line before and the processor time this process used meanwhile. SIGTERM ends it.
 */
import { subscribe } from "node:diagnostics_channel";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { dialChannel, workerDialect, type WorkerChannel } from "../../../src/channel/index.ts";
import { readEnvironment, readSecretFile, devSettings } from "../../../src/config/index.ts";
import { keepBuffersShortLived } from "../../../src/heap.ts";
import { createHub, openKeyRing } from "../../../src/hub/index.ts";
import { createLog } from "../../../src/log.ts";
import { openDriver, readProfiles } from "../../../src/roles/sandboxes.ts";
import type { Exec, Sandbox } from "../../../src/sandbox/index.ts";
import { openSqliteStore, type Store } from "../../../src/store/index.ts";
import { createWorker, readWorkerIdentity } from "../../../src/worker/index.ts";
import { monotonicNs, timedCall, watched, type Mark } from "./marks.ts";

keepBuffersShortLived();
const [stateDir = ""] = process.argv.slice(2);
const log = createLog({ level: "warn" });
let marks: Mark[] = [];
const note = (name: string): void => void marks.push({ name, at: monotonicNs() });

subscribe("http.server.request.start", (message) => {
  const { request } = message as { request: { method: string; url: string } };
  if (request.method === "POST" && request.url === "/v1/jobs") note("hub: request read");
});

const keys = await openKeyRing({ log }, { dir: stateDir });
await using store = await openSqliteStore({ log }, { dir: stateDir });
await using hub = await createHub({ store: watchedStore(store), log, keys }, { host: "127.0.0.1", port: 0 });

const settings = devSettings({ state: stateDir }, readEnvironment(), process.cwd());
const { workerId, bootId, life } = await readWorkerIdentity(stateDir);
const profiles = await readProfiles(settings.profilesDir, log);
await using driver = openDriver(settings, { worker: workerId, boot: bootId }, log);
const { slots, memoryBytes, cpus } = settings;
await using worker = createWorker(
  {
    driver: watched(driver, { create: { after: (made) => (made as Promise<Sandbox>).then(watchedSandbox) } }),
    log,
    profiles: () => profiles,
    dial: async (signal) => watchedChannel(await dial(signal)),
  },
  {
    workerId,
    bootId,
    life,
    version: "0",
    labels: {},
    slots,
    memoryBytes,
    cpus,
    spoolDir: join(stateDir, "spool"),
    // the jobs of one row are over before sandboxes are made again
    times: { quietMs: 2_000, patienceMs: 60_000 },
  },
);
worker.onReady(() => tell({ event: "ready", url: hub.url, keyFile: join(stateDir, "admin.key") }));
let usage = process.cpuUsage();
createInterface({ input: process.stdin }).on("line", () => {
  const { user, system } = process.cpuUsage(usage);
  tell({ marks, cpuMs: (user + system) / 1e3 });
  marks = [];
  usage = process.cpuUsage();
});
process.once("SIGTERM", () => void worker.drain(2_000));
await worker.run();
process.stdin.destroy();

function tell(line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function dial(signal: AbortSignal): Promise<WorkerChannel> {
  const token = readSecretFile(join(stateDir, "worker.token"), "token");
  return dialChannel({ url: hub.url, token, dialect: workerDialect, log, signal });
}

function watchedStore(real: Store): Store {
  const timed = (...names: string[]) =>
    Object.fromEntries(names.map((name) => [name, timedCall(note, `store: ${name}`)]));
  return watched(real, {
    jobs: { after: (jobs) => watched(jobs as Store["jobs"], timed("submit", "get")) },
    leases: {
      after: (leases) =>
        watched(leases as Store["leases"], timed("pools", "claim", "accept", "started", "finish")),
    },
    log: { after: (part) => watched(part as Store["log"], timed("append", "read")) },
  });
}

function watchedChannel(channel: WorkerChannel): WorkerChannel {
  return watched(channel, {
    send: { before: ([message]) => note(`worker: ${(message as { type: string }).type} sent`) },
    open: { before: () => note("worker: output stream opened") },
    listen: {
      before: ([handlers]) => [
        watched(handlers as object, {
          message: { before: ([message]) => note(`worker: ${(message as { type: string }).type} read`) },
        }),
      ],
    },
  });
}

/** Of an interpreter that waits, what goes in is the job and what comes out after that is its output. */
function watchedSandbox(sandbox: Sandbox): Sandbox {
  const exec = (made: Exec): Exec => watchedExec(made);
  return watched(sandbox, {
    guest: {
      after: (guest) =>
        watched(guest as Sandbox["guest"], {
          exec: { after: (made) => (made as Promise<Exec>).then(exec) },
        }),
    },
  });
}

function watchedExec(exec: Exec): Exec {
  return watched(exec, {
    stdin: {
      after: (stdin) => watched(stdin as Exec["stdin"], { write: timedCall(note, "guest: job handed") }),
    },
    output: {
      after: (output) => ({
        [Symbol.asyncIterator]: () =>
          watched((output as Exec["output"])[Symbol.asyncIterator](), {
            next: {
              after: (next) => {
                void (next as Promise<unknown>).then(() => note("guest: output read"));
                return next;
              },
            },
          }),
      }),
    },
  });
}

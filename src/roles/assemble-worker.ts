import { withDeadline } from "../async/index.ts";
import type { Log } from "../log.ts";
import { dialChannel, workerDialect, type WorkerChannel } from "../channel/index.ts";
import { readSecretFile, type Capacity, type SandboxSettings, type TunnelSettings } from "../config/index.ts";
import type { Driver, Profile } from "../sandbox/index.ts";
import { createWorker, readWorkerIdentity, type Worker } from "../worker/index.ts";
import { join } from "node:path";
import { SallyportError } from "../errors.ts";
import type { RoleHost } from "./life.ts";
import { openSandboxNetwork } from "./sandbox-network.ts";
import { openDriver, readProfiles } from "./sandboxes.ts";

export type WorkerParts = SandboxSettings & Capacity & TunnelSettings & { stateDir: string };

export interface HubLink {
  url: string;
  /** read at each dial, so that the token in it can be changed */
  tokenFile: string;
}

export interface AssembledWorker extends AsyncDisposable {
  worker: Worker;
  workerId: string;
}

/** Throws when nothing could ever run here: no guest, no engine, no image, no profile. */
export async function assembleWorker(
  parts: WorkerParts,
  hub: HubLink,
  { log, host }: { log: Log; host: Pick<RoleHost, "version" | "watchHangups"> },
): Promise<AssembledWorker> {
  await using stack = new AsyncDisposableStack();
  const { workerId, bootId, life } = await readWorkerIdentity(parts.stateDir);
  const profiles = await readProfiles(parts.profilesDir, log);
  const driver = stack.use(openDriver(parts, { worker: workerId, boot: bootId }, log));
  await checkProfiles(driver, profiles);
  const network = stack.use(await openSandboxNetwork({ settings: parts, workerId, host, log }));
  const { labels, slots, memoryBytes, cpus, pool } = parts;
  const worker = createWorker(
    {
      driver,
      log,
      network: network.gateway,
      tunnel: network.end,
      profiles: () => profiles,
      dial: (signal) => dial(hub, log, signal),
    },
    {
      workerId,
      bootId,
      life,
      version: host.version,
      labels,
      slots,
      memoryBytes,
      cpus,
      pool,
      spoolDir: join(parts.stateDir, "spool"),
    },
  );
  stack.use(worker);
  const owned = stack.move();
  return { worker, workerId, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function dial({ url, tokenFile }: HubLink, log: Log, signal: AbortSignal): Promise<WorkerChannel> {
  const token = readSecretFile(tokenFile, "token");
  return await dialChannel({ url, token, dialect: workerDialect, log, signal });
}

/** How long further profiles are waited for once one can be served, in `ms` */
export const stragglersMs = 10_000;

/**
 * A profile that cannot be served is the worker's to tell; one that can serve none is of no use. A runtime that hangs keeps its own
 * profiles waiting, not the others. All others are tried to the end: the worker takes what it then finds on the engine for orphans.
 */
export async function checkProfiles(
  driver: Pick<Driver, "prepare">,
  profiles: ReadonlyMap<string, Profile>,
): Promise<void> {
  const tried = [...profiles.values()].map((profile) => driver.prepare(profile));
  try {
    await Promise.any(tried);
  } catch (error) {
    throw SallyportError.from((error as AggregateError).errors[0]);
  }
  await withDeadline(Promise.allSettled(tried), stragglersMs, "the profiles").catch(() => undefined);
}

/** A hub, a worker and a connector as processes of their own, as they would run on three machines. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createClient, type Client } from "../../client/index.ts";
import type { Context } from "../context.ts";
import { readyLine, startRole } from "./process.ts";
import { writeTunnelFiles } from "./tunnel-files.ts";
import { startUpstreams, type Upstreams } from "./upstreams.ts";

export interface Fleet extends AsyncDisposable {
  readonly client: Client;
  readonly upstreams: Upstreams;
  /** `host:port` where callers from outside come in */
  readonly edge: string;
  /** Certificate of the tunnel's authority */
  readonly caFile: string;
  /** The worker's audit log */
  readonly auditDir: string;
  /** The first signal: takes nothing new, finishes, leaves. Resolves with the exit code. */
  drainWorker(): Promise<number | null>;
  /** From here on jobs that still run are stopped, where disposing it alone lets them come to their end. */
  hurry(): void;
}

/** Rejects with the signal's reason, everything it started being gone then. */
export async function startFleet(context: Context, dir: string, signal: AbortSignal): Promise<Fleet> {
  await using stack = new AsyncDisposableStack();
  const upstreams = stack.use(await startUpstreams(signal));
  const files = await writeTunnelFiles(context, dir, upstreams);
  const state = (role: string): string => join(dir, role);
  const hub = stack.use(
    startRole("hub", ["--listen", "127.0.0.1:0", "--edge", "127.0.0.1:0", "--state", state("hub")]),
  );
  const { url = "", edge = "" } = await hub.ready(readyLine, signal);
  const dialling = (role: string): string[] => {
    const token = join(state("hub"), `${role}.token`);
    return ["--hub", url, "--token-file", token, "--state", state(role)];
  };
  const connector = stack.use(
    startRole("connector", [...dialling("connector"), "--tunnel", files.connector]),
  );
  const worker = stack.use(
    startRole("worker", [...dialling("worker"), "--tunnel", files.worker, "--tunnel-ca", files.caFile]),
  );
  await Promise.all([connector.ready(readyLine, signal), worker.ready(readyLine, signal)]);
  const key = (await readFile(join(state("hub"), "admin.key"), "utf8")).trim();
  const owned = stack.move();
  return {
    client: createClient({ url, key }),
    upstreams,
    edge,
    caFile: files.caFile,
    auditDir: join(state("worker"), "audit"),
    drainWorker: () => worker.stop(),
    hurry: () => worker.hurry(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Stores to test and what to put into them. Clocks are the caller's: any number is a wall clock in `ms`. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../src/log.ts";
import {
  encodeRecord,
  maxRecordBytes,
  type AttemptOutcome,
  type JobSpec,
  type ProfileOffer,
  type RecordKind,
} from "../../src/protocol/index.ts";
import type { Claim, NewJob, Store, WorkerSession } from "../../src/store/index.ts";
import { openSqliteStore } from "../../src/store/sqlite/open.ts";
import type { SqliteStore } from "../../src/store/sqlite/sqlite-store.ts";

export interface OpenOptions {
  queueCap?: number;
  maxBytes?: number;
  leaseMs?: number;
}

/** Where one store's rows live on between openings. */
export interface StoreHome extends AsyncDisposable {
  open(options?: OpenOptions): Promise<Store>;
  /** Ends the open store without warning, whatever it is doing. */
  crash(): Promise<void>;
}

/** One implementation of the store contract. */
export interface StoreEngine {
  name: string;
  home(): Promise<StoreHome>;
}

export const sqliteEngine: StoreEngine = {
  name: "sqlite",
  home: async () => new SqliteHome(await mkdtemp(join(tmpdir(), "sallyport-store-"))),
};

export class SqliteHome implements StoreHome {
  readonly dir: string;
  #store: SqliteStore | undefined;

  constructor(dir: string) {
    this.dir = dir;
  }

  async open(options: OpenOptions = {}): Promise<SqliteStore> {
    await this.close();
    this.#store = await openSqliteStore({ log: silentLog() }, { dir: this.dir, ...options });
    return this.#store;
  }

  async crash(): Promise<void> {
    await this.#store?.abort();
    this.#store = undefined;
  }

  async close(): Promise<void> {
    await this.#store?.[Symbol.asyncDispose]();
    this.#store = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    await rm(this.dir, { recursive: true, force: true });
  }
}

export function jobSpec(overrides: Partial<JobSpec> = {}): JobSpec {
  return {
    profile: "python",
    run: { command: ["true"] },
    env: {},
    files: [],
    stdin: { mode: "none" },
    mcp: [],
    timeoutMs: 10_000,
    outputBytes: 2 ** 20,
    artifacts: [],
    artifactBytes: 2 ** 20,
    labels: {},
    priority: 0,
    maxAttempts: 1,
    ...overrides,
  };
}

export interface JobOverrides extends Partial<Omit<NewJob, "spec" | "tenant">> {
  spec?: Partial<JobSpec>;
  tenant?: string;
  weight?: number;
}

export function newJob(
  id: string,
  { spec, tenant = "acme", weight = 1, ...rest }: JobOverrides = {},
): NewJob {
  return {
    id,
    tenant: { id: tenant, weight },
    spec: jobSpec(spec),
    inputs: null,
    idempotencyKey: null,
    requestDigest: `digest of ${id}`,
    now: 1_000,
    ...rest,
  };
}

/** All parts of what the job is sent. */
export async function inputsOf(store: Store, id: string): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for (;;) {
    const part = await store.jobs.inputs(id, parts.length);
    if (part === null) return Buffer.concat(parts);
    parts.push(part);
  }
}

export function attemptOutcome(overrides: Partial<AttemptOutcome> = {}): AttemptOutcome {
  return {
    reason: "exited",
    exitCode: 0,
    signal: null,
    oom: false,
    timings: { startMs: 3, runMs: 5, warm: true },
    usage: { cpuMs: 2, maxRssBytes: 4_096 },
    output: { stdoutBytes: 0, stderrBytes: 0, truncated: false },
    logEnd: 0,
    missing: null,
    artifacts: [],
    calls: 0,
    error: null,
    ...overrides,
  };
}

export interface LogPart {
  bytes: Uint8Array;
  stdout: number;
  stderr: number;
}

/** Whole records, one per entry, or as many as a larger one needs. */
export function logPart(...entries: [RecordKind, string | Uint8Array][]): LogPart {
  const part = { stdout: 0, stderr: 0 };
  const records = entries.flatMap(([kind, content]) => {
    const bytes = typeof content === "string" ? Buffer.from(content) : content;
    if (kind === "stdout" || kind === "stderr") part[kind] += bytes.length;
    return pieces(bytes).map((piece) => encodeRecord({ kind, at: 1, bytes: piece }));
  });
  return { bytes: Buffer.concat(records), ...part };
}

function pieces(bytes: Uint8Array): Uint8Array[] {
  const count = Math.max(1, Math.ceil(bytes.length / maxRecordBytes));
  return Array.from({ length: count }, (_, n) =>
    bytes.subarray(n * maxRecordBytes, (n + 1) * maxRecordBytes),
  );
}

export function profileOffer(overrides: Partial<ProfileOffer> = {}): ProfileOffer {
  return {
    name: "python",
    digest: "sha256:1",
    shape: "interpreter",
    image: "sallyport/python",
    runtime: "runc",
    lifecycle: "job",
    languages: ["python"],
    resources: { cpus: 1, memory: 2 ** 29, pids: 128, workspace: 2 ** 28, tmp: 2 ** 26, gpus: 0 },
    limits: { wallClock: 60_000, output: 2 ** 24, artifacts: 2 ** 26 },
    mcp: [],
    warm: 0,
    unusable: null,
    ...overrides,
  };
}

type Opening = Parameters<Store["leases"]["openSession"]>[0];

export function openSession(store: Store, overrides: Partial<Opening> = {}): Promise<WorkerSession> {
  const worker = {
    workerId: "w1",
    bootId: "b1",
    turn: 0,
    hubId: "h1",
    held: [],
    leaseUntil: 100_000,
    now: 1_000,
  };
  return store.leases.openSession({ ...worker, ...overrides });
}

/** Claims one job of `pool`; there must be one. */
export async function claimOne(store: Store, sessionId: string, pool = "python"): Promise<Claim> {
  const [claim] = await store.leases.claim({ pool, sessionId, limit: 1, now: 2_000 });
  if (claim === undefined) throw new Error(`nothing to claim in ${pool}`);
  return claim;
}

/** A job that was submitted, claimed and accepted. */
export async function leaseOne(store: Store, sessionId: string, job: NewJob): Promise<Claim> {
  await store.jobs.submit(job);
  const claim = await claimOne(store, sessionId);
  await store.leases.accept(claim.lease, 2_500);
  return claim;
}

/** A store of which some parts are others. */
export function storeWith(store: Store, parts: Partial<Store>): Store {
  return {
    ...store,
    check: () => store.check(),
    prune: (before) => store.prune(before),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
    ...parts,
  };
}

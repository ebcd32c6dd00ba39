/** Hubs and workers as processes on temporary state, with a fault proxy on every way between them and to the clients. */
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { sleep } from "../../src/async/index.ts";
import { createClient, type Client } from "../../src/client/index.ts";
import { FaultProxy } from "../helpers/fault-proxy.ts";
import { OwnEngine } from "../helpers/own-engine.ts";
import { SmallDisk } from "../helpers/small-disk.ts";
import { Child } from "./child.ts";
import { Database, urlOver } from "./database.ts";
import type { Bounds, Recorder } from "./history.ts";
import type { HubSettings } from "./hub-process.ts";
import { readLedger } from "./ledger.ts";
import type { WorkerSettings } from "./worker-process.ts";

export type StoreName = "sqlite" | "postgres";
/** `witness`: sandboxes are made by nothing; `docker`: by an engine of the cluster's own */
export type DriverName = "witness" | "docker";

export interface ClusterOptions {
  hubs: number;
  workers: number;
  slots: number;
  createMs: number;
  /** where hubs keep everything; several hubs need `postgres` */
  store: StoreName;
  driver: DriverName;
  bounds: Bounds;
}

interface HubNode {
  child: Child;
  port: number;
  /** the clients' way to it */
  front: FaultProxy;
  /** its own way to the database, where there is one */
  toStore: FaultProxy | undefined;
}

interface WorkerNode {
  child: Child;
  stateDir: string;
  /** what its state folder is on, where one could be mounted */
  disk: SmallDisk | undefined;
  /** its way to each hub */
  links: FaultProxy[];
}

const here = import.meta.dirname;
const stopMs = 20_000;
/** how long a supervisor goes on starting what does not start, and how long it waits in between, `ms` */
const reviveMs = 60_000;
const reviveGapMs = 300;

export class Cluster implements AsyncDisposable {
  readonly dir: string;
  readonly hubs: HubNode[] = [];
  readonly workers: WorkerNode[] = [];
  database: Database | undefined;
  engine: OwnEngine | undefined;
  /** what the store is on, where one could be mounted */
  disk: SmallDisk | undefined;
  readonly #recorder: Recorder;
  readonly #options: ClusterOptions;
  readonly #stack = new AsyncDisposableStack();

  private constructor(dir: string, recorder: Recorder, options: ClusterOptions) {
    this.dir = dir;
    this.#recorder = recorder;
    this.#options = options;
    // PostgreSQL runs under another account, and its folder is inside
    chmodSync(dir, 0o711);
    writeFileSync(this.ledgerFile, "");
  }

  static async start(recorder: Recorder, options: ClusterOptions): Promise<Cluster> {
    const cluster = new Cluster(await mkdtemp(join(tmpdir(), "sallyport-chaos-")), recorder, options);
    try {
      await cluster.#addStore();
      if (options.driver === "docker")
        cluster.engine = cluster.#stack.use(await OwnEngine.start("sallyport/python"));
      for (let at = 0; at < options.hubs; at += 1) await cluster.#addHub(at);
      const places = Array.from({ length: options.workers }, (_, at) => at);
      cluster.workers.push(...(await Promise.all(places.map((at) => cluster.#addWorker(at)))));
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  get ledgerFile(): string {
    return join(this.dir, "ledger");
  }

  /** A client that comes in through the front of a hub */
  client(hub: number): Client {
    const { front } = this.hubs[hub % this.hubs.length] ?? missing("hub");
    return createClient({ url: front.url, key: this.#key });
  }

  /** Every process runs and every way is open again. */
  async heal(): Promise<void> {
    for (const disk of this.disks) disk.makeRoom();
    await this.database?.boot();
    this.engine?.thaw();
    await this.engine?.up();
    for (const { child, front, toStore } of this.hubs) {
      front.heal();
      toStore?.heal();
      toStore?.cut("reset");
      child.thaw();
      child.setClock(0);
      if (!child.running) await revive(child);
    }
    for (const { child, links } of this.workers) {
      child.setClock(0);
      for (const link of links) {
        link.heal();
        link.cut("reset");
      }
      child.thaw();
      if (!child.running) await revive(child);
    }
  }

  get disks(): SmallDisk[] {
    return [this.disk, ...this.workers.map(({ disk }) => disk)].filter((disk) => disk !== undefined);
  }

  /** Ends everything the way an operator would, and notes what is left behind. */
  async windUp(): Promise<void> {
    for (const nodes of [this.workers, this.hubs]) {
      await Promise.all(nodes.map(({ child }) => this.#end(child)));
    }
    for (const container of (await this.engine?.containers()) ?? [])
      this.#left(`container ${container}`, "engine");
    for (const { child, stateDir } of this.workers) {
      for (const name of spooled(stateDir)) this.#left(`spool file ${name}`, child.name);
    }
    this.#recorder.merge(readLedger(this.ledgerFile));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
    await rm(this.dir, { recursive: true, force: true });
  }

  get #key(): string {
    return readFileSync(join(this.#hubDir, "admin.key"), "utf8").trim();
  }

  /** On the disk of the store where that is a file */
  get #hubDir(): string {
    return join(this.dir, this.#options.store === "sqlite" ? "store/hub" : "hub");
  }

  async #addStore(): Promise<void> {
    const dir = join(this.dir, "store");
    this.disk = this.#mount(dir);
    if (this.#options.store === "postgres")
      this.database = this.#stack.use(await Database.start(this.#recorder, dir));
  }

  #mount(dir: string): SmallDisk | undefined {
    const disk = SmallDisk.mount(dir);
    if (disk !== undefined) this.#stack.use(disk);
    return disk;
  }

  #left(what: string, where: string): void {
    this.#recorder.note({ type: "left", what, where });
  }

  async #end(child: Child): Promise<void> {
    if (!(await child.stop(stopMs))) this.#left(`did not end within ${stopMs} ms of SIGTERM`, child.name);
  }

  async #addHub(at: number): Promise<void> {
    const { heartbeatMs, leaseMs, selfStopMs, offerMs, graceMs } = this.#options.bounds;
    const node = { port: 0 };
    const way = await this.database?.way();
    const toStore = way && this.#stack.use(way);
    const settings = (): HubSettings => ({
      dir: this.#hubDir,
      database: toStore === undefined ? null : urlOver(toStore),
      port: node.port,
      intervals: { heartbeatMs, suspectMs: 3 * heartbeatMs, leaseMs, selfStopMs, offerMs, graceMs },
      logLevel: "info",
    });
    const child = this.#child(`hub${at}`, "hub-process.ts", settings);
    const { url } = await child.start();
    node.port = Number(new URL(url ?? "").port);
    const front = this.#stack.use(await FaultProxy.start(() => node.port));
    this.hubs.push({ child, front, toStore, port: node.port });
  }

  async #addWorker(at: number): Promise<WorkerNode> {
    const stateDir = join(this.dir, `worker${at}`);
    const disk = this.#mount(stateDir);
    const links: FaultProxy[] = [];
    for (const { port } of this.hubs) links.push(this.#stack.use(await FaultProxy.start(() => port)));
    const urls = links.map(({ url }) => url);
    const { slots, createMs } = this.#options;
    const settings = (): WorkerSettings => ({
      urls: [...urls.slice(at % urls.length), ...urls.slice(0, at % urls.length)],
      tokenFile: join(this.#hubDir, "worker.token"),
      stateDir,
      ledger: this.ledgerFile,
      slots,
      createMs,
      dockerHost: this.engine?.dockerHost ?? null,
      logLevel: "debug",
    });
    const child = this.#child(`worker${at}`, "worker-process.ts", settings);
    await child.start();
    return { child, stateDir, disk, links };
  }

  #child(name: string, file: string, settings: () => object): Child {
    return this.#stack.use(
      new Child(
        {
          name,
          args: () => [join(here, file), JSON.stringify(settings())],
          env: { NODE_COMPILE_CACHE: join(homedir(), ".cache/sallyport") },
          logFile: join(this.dir, `${name}.log`),
        },
        this.#recorder,
      ),
    );
  }
}

/** Starts it again and again, as a supervisor does, until it runs: what it needs may be away. */
export async function revive(child: Child): Promise<void> {
  const until = performance.now() + reviveMs;
  for (;;) {
    try {
      await child.start();
      return;
    } catch (error) {
      if (performance.now() > until) throw error;
      await sleep(reviveGapMs);
    }
  }
}

function spooled(stateDir: string): string[] {
  try {
    return readdirSync(join(stateDir, "spool"));
  } catch {
    return [];
  }
}

function missing(what: string): never {
  throw new Error(`no such ${what}`);
}

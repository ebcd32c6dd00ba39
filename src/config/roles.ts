/** What each role runs with: flags before environment before defaults derived from the host. */
import { availableParallelism, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { advertisedUrl, hubUrl, parseAddress, ports, publicHost, type Address } from "./addresses.ts";
import { devStateDir } from "./dev-file.ts";
import { parseLogLevel, type Environment, type LogLevel } from "./environment.ts";
import { configFault } from "./fault.ts";
import { countFlag, durationFlag, pairsFlag, sizeFlag } from "./quantities.ts";
import { readSecretFile } from "./secret-file.ts";

/** Flags as typed; a flag that was not given is absent. */
export interface RoleFlags {
  listen?: string;
  port?: string;
  publicHost?: string[];
  advertise?: string;
  state?: string;
  database?: string;
  databaseUrlFile?: string;
  profiles?: string;
  hub?: string;
  tokenFile?: string;
  slots?: string;
  memory?: string;
  pool?: boolean;
  label?: string[];
  logLevel?: string;
  drainTimeout?: string;
  edge?: string;
  tunnel?: string;
  tunnelCa?: string;
}

interface Common {
  readonly stateDir: string;
  readonly logLevel: LogLevel;
  /** how long a first signal lets running jobs finish, in `ms`; null: as long as they take */
  readonly drainMs: number | null;
}

export interface HubSettings extends Common {
  readonly host: string;
  /** 0: any free one */
  readonly port: number;
  /** names the hub is reached by from outside */
  readonly publicHosts: readonly string[];
  /** URL other hubs on the same database reach it by; null: derived from where it listens */
  readonly advertise: string | null;
  readonly edge: Address | null;
  /** URL of the database that hubs share; null: the state folder keeps everything */
  readonly database: string | null;
}

/** A worker's part in the tunnel. */
export interface TunnelSettings {
  /** file with routes this process serves; null: none */
  readonly tunnelFile: string | null;
  /** CA certificate of tunnels whose routes others serve; null: none is trusted */
  readonly tunnelCaFile: string | null;
}

export interface SandboxSettings {
  readonly profilesDir: string;
  readonly dockerHost: string | undefined;
  readonly guestPath: string;
  readonly probePath: string;
}

export interface Capacity {
  readonly slots: number;
  /** bytes that sandboxes may be promised together */
  readonly memoryBytes: number;
  readonly cpus: number;
  /** false: no sandboxes are made ahead */
  readonly pool: boolean;
  readonly labels: Readonly<Record<string, string>>;
}

export interface WorkerSettings extends Common, SandboxSettings, Capacity, TunnelSettings {
  readonly hub: string;
  /** read at each dial, so that the token in it can be changed */
  readonly tokenFile: string;
}

export interface DevSettings extends Common, SandboxSettings, Capacity, TunnelSettings {
  readonly port: number;
  readonly edge: Address | null;
}

export interface ConnectorSettings extends Common {
  /** one channel each */
  readonly hubs: readonly string[];
  /** read at each dial */
  readonly tokenFile: string;
  readonly tunnelFile: string;
}

/** The connector may name several hubs. */
export interface ConnectorFlags extends Omit<RoleFlags, "hub"> {
  hub?: string[];
}

const defaultPort = 7070;
const packageDir = fileURLToPath(new URL("../..", import.meta.url));

export function hubSettings(flags: RoleFlags, environment: Environment, cwd: string): HubSettings {
  const { host, port } = parseAddress(flags.listen ?? `127.0.0.1:${defaultPort}`, "--listen");
  return Object.freeze({
    ...common(flags, environment, { cwd, stateDir: join(devStateDir, "hub"), logLevel: "info" }),
    host,
    port,
    publicHosts: Object.freeze((flags.publicHost ?? []).map(publicHost)),
    advertise: flags.advertise === undefined ? null : advertisedUrl(flags.advertise),
    edge: edgeOf(flags),
    database: databaseUrl(flags, environment, cwd),
  });
}

export function workerSettings(flags: RoleFlags, environment: Environment, cwd: string): WorkerSettings {
  const named = flags.hub ?? environment.hub;
  if (named === undefined) throw missing("--hub", "SALLYPORT_HUB", "the hub's URL");
  const hub = hubUrl(named);
  const tokenFile = tokenFileOf(flags, environment, cwd);
  return Object.freeze({
    ...common(flags, environment, { cwd, stateDir: join(devStateDir, "worker"), logLevel: "info" }),
    ...sandboxSettings(flags, environment, cwd),
    ...capacity(flags),
    ...tunnelFiles(flags, cwd),
    hub,
    tokenFile,
  });
}

export function connectorSettings(
  flags: ConnectorFlags,
  environment: Environment,
  cwd: string,
): ConnectorSettings {
  const { hub, tunnel, ...rest } = flags;
  const hubs = (hub ?? (environment.hub === undefined ? [] : [environment.hub])).map(hubUrl);
  if (hubs.length === 0) throw missing("--hub", "SALLYPORT_HUB", "the hub's URL");
  if (tunnel === undefined) {
    const fix = "give it with --tunnel";
    throw configFault("the tunnel file is missing", { source: "command line", key: "--tunnel", fix });
  }
  return Object.freeze({
    ...common(rest, environment, { cwd, stateDir: join(devStateDir, "connector"), logLevel: "info" }),
    hubs: Object.freeze(hubs),
    tokenFile: tokenFileOf(rest, environment, cwd),
    tunnelFile: resolve(cwd, tunnel),
  });
}

export function devSettings(flags: RoleFlags, environment: Environment, cwd: string): DevSettings {
  return Object.freeze({
    ...common(flags, environment, { cwd, stateDir: devStateDir, logLevel: "warn" }),
    ...sandboxSettings(flags, environment, cwd),
    ...capacity(flags),
    ...tunnelFiles(flags, cwd),
    edge: edgeOf(flags),
    port: countFlag(flags.port ?? "0", "--port", ports),
  });
}

export function sandboxSettings(
  flags: Pick<RoleFlags, "profiles">,
  environment: Environment,
  cwd: string,
): SandboxSettings {
  const profiles = flags.profiles ?? environment.profilesDir;
  const guestDir = join(packageDir, "images", "guest", "build");
  return {
    profilesDir: profiles === undefined ? join(packageDir, "sandbox-profiles") : resolve(cwd, profiles),
    dockerHost: environment.dockerHost,
    guestPath: join(guestDir, "guest"),
    probePath: join(guestDir, "probe"),
  };
}

/** The file goes before the variable, and both before the flag: a password on the command line is for all to see. */
function databaseUrl(flags: RoleFlags, environment: Environment, cwd: string): string | null {
  const { database, databaseUrlFile } = flags;
  const fault = (reason: string, key: string): Error =>
    configFault(reason, {
      source: "command line",
      key,
      fix: "put the URL into a file of mode 600 and name it with --database-url-file",
    });
  if (databaseUrlFile !== undefined && database !== undefined)
    throw fault("is given together with --database-url-file", "--database");
  if (database !== undefined && /^[^:]*:\/\/[^/]*:[^/]*@/.test(database))
    throw fault("holds a password", "--database");
  const url =
    databaseUrlFile === undefined
      ? (database ?? environment.database ?? null)
      : readSecretFile(resolve(cwd, databaseUrlFile), "database URL");
  if (url === null || /^postgres(?:ql)?:\/\//.test(url)) return url;
  throw fault("is not the URL of a PostgreSQL database (postgres://…)", "--database");
}

function common(
  flags: RoleFlags,
  environment: Environment,
  defaults: { cwd: string; stateDir: string; logLevel: LogLevel },
): Common {
  const { state, logLevel, drainTimeout } = flags;
  return {
    stateDir: resolve(defaults.cwd, state ?? environment.stateDir ?? defaults.stateDir),
    logLevel: logLevel === undefined ? (environment.logLevel ?? defaults.logLevel) : parseLogLevel(logLevel),
    drainMs: drainTimeout === undefined ? null : durationFlag(drainTimeout, "--drain-timeout"),
  };
}

function capacity(flags: RoleFlags): Capacity {
  const cpus = availableParallelism();
  const limit = process.constrainedMemory();
  const memory = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  return {
    cpus,
    slots:
      flags.slots === undefined
        ? Math.max(4, 4 * cpus)
        : countFlag(flags.slots, "--slots", { min: 1, max: 100_000 }),
    memoryBytes: flags.memory === undefined ? Math.floor(memory * 0.75) : sizeFlag(flags.memory, "--memory"),
    pool: flags.pool ?? true,
    labels: Object.freeze(pairsFlag(flags.label ?? [], "--label")),
  };
}

/** Throws where it does not hold a token now, so that a wrong name is noticed at the start. */
function tokenFileOf(flags: Pick<RoleFlags, "tokenFile">, environment: Environment, cwd: string): string {
  const named = flags.tokenFile ?? environment.tokenFile;
  if (named === undefined) throw missing("--token-file", "SALLYPORT_TOKEN_FILE", "the token file");
  const file = resolve(cwd, named);
  readSecretFile(file, "token");
  return file;
}

function tunnelFiles({ tunnel, tunnelCa }: RoleFlags, cwd: string): TunnelSettings {
  return {
    tunnelFile: tunnel === undefined ? null : resolve(cwd, tunnel),
    tunnelCaFile: tunnelCa === undefined ? null : resolve(cwd, tunnelCa),
  };
}

function edgeOf({ edge }: Pick<RoleFlags, "edge">): Address | null {
  return edge === undefined ? null : parseAddress(edge, "--edge");
}

function missing(flag: string, variable: string, what: string): Error {
  const fix = `give it with ${flag} or ${variable}`;
  return configFault(`${what} is missing`, { source: "command line", key: flag, fix });
}

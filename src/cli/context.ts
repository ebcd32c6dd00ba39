/** What every command works with, handed in by the composition root. */
import type { Readable, Writable } from "node:stream";
import type { Client, RouteView } from "../client/index.ts";
import type {
  ConnectorSettings,
  DevSettings,
  Environment,
  HubSettings,
  ProxySettings,
  SandboxSettings,
  WorkerSettings,
} from "../config/index.ts";
import type { EngineWatch, ProbeReport, SandboxInfo } from "../sandbox/index.ts";
import type { WireError } from "../errors.ts";
import type { Output } from "./output.ts";

/** What asks a command to stop; SIGHUP: its terminal is gone */
export type StopSignal = "SIGINT" | "SIGTERM" | "SIGHUP";

/** Told each of them, with how many came so far; nobody listening means the default, which is to die. */
export type WatchSignals = (listener: (signal: StopSignal, count: number) => void) => Disposable;

export interface StandardInput {
  readonly fd: number;
  /** Opens it; reading it keeps the process alive. */
  open(): Readable;
}

export interface KeyRow {
  name: string;
  tenant: string;
  weight: number;
  scopes: readonly string[];
  createdAt: string;
  revokedAt: string | null;
}

/** The keys of a hub's state folder. */
export interface Keys {
  /** The key's text, which is kept nowhere else. */
  add(key: { name: string; tenant: string; weight: number; scopes: readonly string[] }): Promise<string>;
  list(): Promise<readonly KeyRow[]>;
  /** Throws `config_invalid` when no key has that name. */
  revoke(name: string): Promise<void>;
}

interface CertificateState {
  done: "made" | "renewed" | "kept";
  file: string;
  /** SHA-256 of the DER, lower-case hexadecimal */
  fingerprint: string;
  expiresAt: string;
}

export interface CertificateFolder {
  dir: string;
  domain: string;
  authority: CertificateState;
  server: CertificateState;
}

/** The certificates of a tunnel's folder. */
export interface Certs {
  /** Throws `config_invalid` or `certificate_invalid` rather than replace a file that is not the authority's. */
  init(request: { dir: string; domain: string; days: number }): Promise<CertificateFolder>;
  renew(request: { dir: string; days: number; renewBeforeDays: number }): Promise<CertificateFolder>;
}

export interface ExplainRequest {
  url: string;
  tunnelFile?: string | undefined;
  /** `HOST:PORT` */
  edge?: string | undefined;
  caFile?: string | undefined;
  /** Every route the hub knows; absent: it is not asked */
  known?: readonly RouteView[] | undefined;
  signal: AbortSignal;
}

/** One layer of a call, and what mends it where it does not hold. */
export interface ExplainStep {
  layer: string;
  ok: boolean;
  detail: string;
  fix: string | null;
}

export interface CostOptions {
  settings: SandboxSettings;
  stateDir: string;
  names: readonly string[];
  /** Measure also what is known */
  fresh: boolean;
  progress: (text: string) => void;
  signal: AbortSignal;
}

/** Untrimmed percentiles over `n` runs, in `ms` */
interface Spread {
  n: number;
  p50Ms: number;
  p99Ms: number;
}

export interface ProfileCost {
  profile: string;
  /** Null when it cannot run here */
  figures: {
    measuredAt: string;
    cold: Spread;
    warm: Spread;
    idleBytes: number;
    warmBytes: number;
    rate: { n: number; atOnce: number; perSecond: number };
  } | null;
  cached: boolean;
  unusable: WireError | null;
}

/** The long-lived parts of the product. Each role resolves with the process's exit code. */
export interface Roles {
  hub(settings: HubSettings): Promise<number>;
  worker(settings: WorkerSettings): Promise<number>;
  connector(settings: ConnectorSettings): Promise<number>;
  dev(settings: DevSettings): Promise<number>;
  proxy(settings: ProxySettings): Promise<number>;
  probe(settings: SandboxSettings): Promise<ProbeReport>;
  /** Sandboxes the engine of this host still holds for a worker */
  sandboxesOf(workerId: string): Promise<readonly SandboxInfo[]>;
  /** Looks on at what these workers make on the engine of this host */
  watchSandboxes(workers: readonly string[]): Promise<EngineWatch>;
  keys(stateDir: string): Promise<Keys>;
  certs(): Promise<Certs>;
  /** The layers of a call to a URL, up to the first that does not hold */
  explain(request: ExplainRequest): Promise<readonly ExplainStep[]>;
  /** What profiles cost on this host, measured by making their sandboxes; every one when none is named */
  profileCosts(options: CostOptions): Promise<readonly ProfileCost[]>;
}

export interface CliDeps {
  stdin: StandardInput;
  stdout: Writable;
  stderr: Writable;
  cwd: string;
  /** Environment variables; the process's own without it */
  variables?: NodeJS.ProcessEnv;
  watchSignals: WatchSignals;
  roles: Roles;
}

export interface HubFlags {
  hub?: string;
  keyFile?: string;
  json?: boolean;
}

export interface Context {
  readonly stdin: StandardInput;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly cwd: string;
  readonly watchSignals: WatchSignals;
  readonly roles: Roles;
  /** What stands behind `--` */
  readonly tail: readonly string[] | undefined;
  environment(): Promise<Environment>;
  client(flags: HubFlags): Promise<Client>;
}

/** Nothing heavy is loaded before a command needs it, so that a short command starts fast. */
export function createContext(
  deps: CliDeps,
  options: { stdout: Output; stderr: Output; tail: readonly string[] | undefined },
): Context {
  const environment = async (): Promise<Environment> =>
    (await import("../config/index.ts")).readEnvironment(deps.variables);
  return {
    stdin: deps.stdin,
    cwd: deps.cwd,
    watchSignals: deps.watchSignals,
    roles: deps.roles,
    ...options,
    environment,
    client: async (flags) => {
      const [{ createClient }, { findHub }] = await Promise.all([
        import("../client/index.ts"),
        import("../config/index.ts"),
      ]);
      return createClient(findHub(flags, await environment(), deps.cwd));
    },
  };
}

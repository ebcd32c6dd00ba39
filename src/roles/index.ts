/** The object graph of each role, built by hand. A role's parts are loaded only when it runs. */
import type {
  ConnectorSettings,
  DevSettings,
  HubSettings,
  ProxySettings,
  SandboxSettings,
  WorkerSettings,
} from "../config/index.ts";
import type { EngineWatch, ProbeReport, SandboxInfo } from "../sandbox/index.ts";
import type { CostOptions, ProfileCost } from "./cost.ts";
import type { ExplainStep } from "../tunnel/index.ts";
import type { StateCerts } from "./certs.ts";
import type { ExplainRequest } from "./explain.ts";
import type { StateKeys } from "./keys.ts";
import type { RoleHost } from "./life.ts";

export type { RoleHost } from "./life.ts";
export type { StateKeys } from "./keys.ts";

export interface Roles {
  /** Resolves with the exit code once the role is over. */
  hub(settings: HubSettings): Promise<number>;
  worker(settings: WorkerSettings): Promise<number>;
  connector(settings: ConnectorSettings): Promise<number>;
  dev(settings: DevSettings): Promise<number>;
  proxy(settings: ProxySettings): Promise<number>;
  probe(settings: SandboxSettings): Promise<ProbeReport>;
  /** Sandboxes the engine of this host still holds for a worker */
  sandboxesOf(workerId: string): Promise<SandboxInfo[]>;
  /** Looks on at what these workers make on the engine of this host */
  watchSandboxes(workers: readonly string[]): Promise<EngineWatch>;
  keys(stateDir: string): Promise<StateKeys>;
  certs(): Promise<StateCerts>;
  /** The layers of a call to a URL, up to the first that does not hold */
  explain(request: ExplainRequest): Promise<readonly ExplainStep[]>;
  /** What profiles cost on this host, measured by making their sandboxes */
  profileCosts(options: CostOptions): Promise<ProfileCost[]>;
}

export function createRoles(host: RoleHost): Roles {
  return {
    hub: async (settings) => (await import("./hub.ts")).runHub(settings, host),
    worker: async (settings) => (await import("./worker.ts")).runWorker(settings, host),
    connector: async (settings) => (await import("./connector.ts")).runConnector(settings, host),
    dev: async (settings) => (await import("./dev.ts")).runDev(settings, host),
    proxy: async (settings) => (await import("./proxy.ts")).runProxy(settings, host),
    probe: async (settings) => (await import("./doctor.ts")).probeHost(settings),
    sandboxesOf: async (workerId) => (await import("./doctor.ts")).sandboxesOf(workerId),
    watchSandboxes: async (workers) => (await import("./watch.ts")).watchSandboxes(workers),
    keys: async (stateDir) => (await import("./keys.ts")).openKeys(stateDir),
    explain: async (request) => (await import("./explain.ts")).explainUrl(request),
    certs: async () => (await import("./certs.ts")).openCerts(),
    profileCosts: async (options) => (await import("./cost.ts")).measureCosts(options),
  };
}

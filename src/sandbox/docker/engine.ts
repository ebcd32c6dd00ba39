/** One connection to one engine: where it is, how it is spoken to, and the facts about it that do not change. */
import { Agent } from "node:http";
import { inspect } from "node:util";
import Docker, { type DockerOptions } from "dockerode";
import { SallyportError } from "../../errors.ts";
import { engineCall } from "./errors.ts";

/** The oldest engine API that knows every setting used here (engine 20.10) */
const apiVersion = "v1.41";
const defaultSocket = "/var/run/docker.sock";
/** How long a connection no call uses is kept, in `ms`; the engine itself would keep it for ever */
const idleMs = 5_000;

export interface EngineFacts {
  name: string;
  version: string;
  runtimes: string[];
  cpus: number;
  /** Memory of the engine's host in bytes; 0 when it does not say */
  memoryBytes: number;
  /** What the engine says about itself, for people */
  described: Record<string, string>;
  warnings: string[];
}

/**
 * The library spells out every request for its debug log, also when there is none: without this the agent with all its sockets,
 * which takes milliseconds.
 */
class BriefAgent extends Agent {
  [inspect.custom](): string {
    return "Agent";
  }
}

export class Engine implements Disposable {
  readonly docker: Docker;
  readonly address: string;
  readonly #agent = new BriefAgent({ keepAlive: true, timeout: idleMs });
  #facts: Promise<EngineFacts> | undefined;

  /** `dockerHost` is `unix:///path` or `tcp://host:port`; the default socket when it is left out. */
  constructor(dockerHost: string | undefined) {
    this.address = dockerHost ?? `unix://${defaultSocket}`;
    this.docker = new Docker(connection(this.address, this.#agent));
  }

  /** Asked once and remembered; a failure is not. */
  async facts(): Promise<EngineFacts> {
    this.#facts ??= this.readFacts();
    try {
      return await this.#facts;
    } catch (error) {
      this.#facts = undefined;
      throw error;
    }
  }

  /** Asks the engine, however often it was asked before. */
  async readFacts(): Promise<EngineFacts> {
    const context = { operation: "info", subject: this.address } as const;
    const [info, { Components = [] }] = await Promise.all([
      engineCall(context, this.docker.info()) as Promise<EngineInfo>,
      engineCall(context, this.docker.version()) as Promise<EngineVersion>,
    ]);
    return {
      name: info.Name ?? "",
      version: info.ServerVersion ?? "",
      runtimes: Object.keys(info.Runtimes ?? {}),
      cpus: info.NCPU ?? 1,
      memoryBytes: info.MemTotal ?? 0,
      described: { ...describe(info), ...components(Components) },
      warnings: info.Warnings ?? [],
    };
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

/** The part of `GET /info` that is used */
interface EngineInfo {
  Name?: string;
  ServerVersion?: string;
  Runtimes?: Record<string, unknown>;
  DefaultRuntime?: string;
  NCPU?: number;
  MemTotal?: number;
  KernelVersion?: string;
  OperatingSystem?: string;
  Architecture?: string;
  CgroupDriver?: string;
  CgroupVersion?: string;
  Driver?: string;
  SecurityOptions?: string[];
  Warnings?: string[] | null;
}

/** The part of `GET /version` that is used */
interface EngineVersion {
  Components?: { Name: string; Version?: string; Details?: { GitCommit?: string } }[];
}

/** Versions of the engine's parts; a distribution's package tells its revision as the commit. */
function components(parts: NonNullable<EngineVersion["Components"]>): Record<string, string> {
  const told = parts.filter(({ Name }) => Name === "containerd" || Name === "runc");
  return Object.fromEntries(
    told.map(({ Name, Version = "unknown", Details: { GitCommit = "" } = {} }) => [
      Name,
      GitCommit.startsWith(Version) ? GitCommit : Version,
    ]),
  );
}

function describe(info: EngineInfo): Record<string, string> {
  return {
    kernel: info.KernelVersion ?? "unknown",
    system: info.OperatingSystem ?? "unknown",
    architecture: info.Architecture ?? "unknown",
    storage: info.Driver ?? "unknown",
    cgroup: `v${info.CgroupVersion ?? "1"} (${info.CgroupDriver ?? "unknown"})`,
    security: (info.SecurityOptions ?? []).join(" "),
    defaultRuntime: info.DefaultRuntime ?? "unknown",
    memoryBytes: String(info.MemTotal ?? 0),
  };
}

/** Names every option that the library would otherwise take from the process environment. */
function connection(address: string, agent: Agent): DockerOptions {
  const url = URL.parse(address);
  const fixed = { version: apiVersion, protocol: "http", agent, timeout: undefined } as const;
  if (url?.protocol === "unix:" && url.pathname !== "") {
    return { ...fixed, socketPath: url.pathname, host: undefined, port: undefined };
  }
  if (url?.protocol === "tcp:" && url.hostname !== "") {
    return { ...fixed, host: url.hostname, port: url.port === "" ? 2375 : Number(url.port) };
  }
  throw new SallyportError(
    "config_invalid",
    `DOCKER_HOST: ${JSON.stringify(address)} is not an engine address`,
    {
      details: { field: "DOCKER_HOST", fix: "write unix:///path/to/docker.sock or tcp://host:port" },
    },
  );
}

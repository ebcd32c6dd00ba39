/** compose.yaml as an operator runs it, under a project name of its own, with everything of it removed at the end. */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { rmSync, statSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { canInstall, install } from "../../scripts/setup/apt.mjs";
import { findProgram } from "../../scripts/setup/find-program.mjs";
import { createClient, type Client } from "../../src/client/index.ts";
import { rawEngine } from "../helpers/docker.ts";

const exec = promisify(execFile);
const root = resolve(import.meta.dirname, "../..");
/** between two looks, `ms` */
const everyMs = 250;
/** any compose call, `ms` */
const callMs = 150_000;
const endings = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const projectLabel = "com.docker.compose.project";

export interface Container {
  name: string;
  health: string;
  restarts: number;
  inspected: Awaited<ReturnType<ReturnType<ReturnType<typeof rawEngine>["getContainer"]>["inspect"]>>;
}

/** Resolves once `look` sees it; looking takes a while, and there is no hurry. */
export async function until(look: () => Promise<boolean>, ms: number): Promise<void> {
  const end = performance.now() + ms;
  while (!(await look())) {
    if (performance.now() > end) throw new Error(`did not happen within ${ms} ms: ${look.toString()}`);
    await sleep(everyMs);
  }
}

/** The command that reads compose.yaml, installed with apt where that is our part, or why there is none. */
export async function composeTool(): Promise<readonly string[] | { missing: string }> {
  const docker = findProgram("docker");
  if (docker !== undefined) {
    const plugin = await exec(docker, ["compose", "version"]).catch(() => undefined);
    if (plugin !== undefined) return [docker, "compose"];
  }
  if (findProgram("docker-compose") === undefined && canInstall())
    await install(["docker-compose"], AbortSignal.timeout(300_000));
  const alone = findProgram("docker-compose");
  return alone === undefined ? { missing: "no compose tool: install docker-compose" } : [alone];
}

export class Project implements AsyncDisposable {
  readonly name = `sallyport-test-${randomBytes(4).toString("hex")}`;
  readonly dir: string;
  readonly #tool: readonly string[];
  readonly #env: NodeJS.ProcessEnv;
  #url = "";
  #key = "";

  private constructor(tool: readonly string[], dir: string, images: Record<string, string>) {
    this.#tool = tool;
    this.dir = dir;
    const socket = new URL(process.env["DOCKER_HOST"] ?? "unix:///var/run/docker.sock").pathname;
    this.#env = {
      ...process.env,
      ...images,
      COMPOSE_PROJECT_NAME: this.name,
      DOCKER_SOCKET: socket,
      DOCKER_GID: String(statSync(socket).gid),
      API_PORT: "0",
      EDGE_PORT: "0",
      WORKER_SLOTS: "4",
      WORKER_MEMORY: "1GiB",
      UPSTREAMS_SUBNET: subnet(this.name),
      TUNNEL_DIR: join(dir, "tunnel"),
    };
  }

  /** Everything is up and healthy, both workers included. */
  static async up(tool: readonly string[], images: Record<string, string>): Promise<Project> {
    const dir = await mkdtemp(join(tmpdir(), "sallyport-compose-"));
    const project = new Project(tool, dir, images);
    for (const signal of endings) process.on(signal, project.#leaveNow);
    try {
      await project.#writeTunnel();
      await project.compose("up", "-d");
      await project.healthy();
      const address = (await project.compose("port", "lb", "7070")).trim();
      project.#url = `http://${address}`;
      project.#key = (await project.inside("hub-1", "cat", "/var/lib/sallyport/admin.key")).trim();
      await until(async () => (await project.readyWorkers()) === 2, 60_000);
      return project;
    } catch (error) {
      const said = await project.compose("logs", "--no-color", "--tail=20").catch(String);
      await project[Symbol.asyncDispose]();
      throw new Error(`the project did not come up:\n${said}`, { cause: error });
    }
  }

  get client(): Client {
    return createClient({ url: this.#url, key: this.#key });
  }

  async compose(...args: string[]): Promise<string> {
    const [file, command] = this.#command(args);
    const options = { cwd: root, env: this.#env, timeout: callMs, maxBuffer: 2 ** 26 };
    return (await exec(file, command, options)).stdout;
  }

  #command(args: readonly string[]): [file: string, args: string[]] {
    const [file = "", ...first] = this.#tool;
    return [file, [...first, "-f", join(root, "compose.yaml"), ...args]];
  }

  /** What a program in the service's container prints. */
  async inside(service: string, ...command: string[]): Promise<string> {
    return await this.compose("exec", "-T", service, ...command);
  }

  /** `sallyport run` of this checkout against the load balancer. */
  async run(...args: string[]): Promise<string> {
    const keyFile = join(this.dir, "admin.key");
    await writeFile(keyFile, this.#key, { mode: 0o600 });
    const env = { ...process.env, SALLYPORT_HUB: this.#url, SALLYPORT_KEY_FILE: keyFile };
    const command = ["--disable-warning=ExperimentalWarning", join(root, "src/main.ts"), "run", ...args];
    return (await exec(process.execPath, command, { env, timeout: 60_000 })).stdout;
  }

  async container(service: string): Promise<Container> {
    const engine = rawEngine();
    const label = [`${projectLabel}=${this.name}`, `com.docker.compose.service=${service}`];
    const [found] = await engine.listContainers({ all: true, filters: { label } });
    assert.ok(found, `there is a container for ${service}`);
    const inspected = await engine.getContainer(found.Id).inspect();
    const { Health } = inspected.State;
    return { name: service, health: Health?.Status ?? "", restarts: inspected.RestartCount, inspected };
  }

  async containers(): Promise<Container[]> {
    const services = (await this.compose("config", "--services")).trim().split(/\s+/);
    return await Promise.all(services.map((service) => this.container(service)));
  }

  /** Resolves once these services, or all that stay, are healthy. */
  async healthy(...services: string[]): Promise<void> {
    const wanted =
      services.length > 0
        ? services
        : (await this.containers()).map(({ name }) => name).filter((n) => n !== "init");
    for (const service of wanted) {
      await until(async () => (await this.container(service)).health === "healthy", 90_000);
    }
  }

  async readyWorkers(): Promise<number> {
    return (await this.client.workers.list()).filter(({ state }) => state === "ready").length;
  }

  /** Replaces a service's container as an upgrade does: it drains, and another takes its place. */
  async upgrade(service: string): Promise<void> {
    await this.compose("up", "-d", "--no-deps", "--force-recreate", service);
    await this.healthy(service);
  }

  /** Containers, networks and volumes of this project, and sandboxes of these workers */
  async leftovers(workers: readonly string[]): Promise<string[]> {
    const engine = rawEngine();
    const filters = { label: [`${projectLabel}=${this.name}`] };
    const [containers, networks, { Volumes: volumes }, ...sandboxes] = await Promise.all([
      engine.listContainers({ all: true, filters }),
      engine.listNetworks({ filters }),
      engine.listVolumes({ filters }),
      ...workers.map((id) =>
        engine.listContainers({ all: true, filters: { label: [`dev.sallyport.worker=${id}`] } }),
      ),
    ]);
    return [
      ...[...containers, ...sandboxes.flat()].flatMap(({ Names }) => Names),
      ...networks.map(({ Name }) => Name),
      ...volumes.map(({ Name }) => Name),
    ];
  }

  async down(): Promise<void> {
    await this.compose("down", "--volumes", "--timeout", "10");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.down();
    } finally {
      for (const signal of endings) process.off(signal, this.#leaveNow);
      await rm(this.dir, { recursive: true, force: true });
    }
  }

  /** The runner goes at the first Ctrl-C or with its terminal, and this process with it: nobody would take the containers down later. */
  readonly #leaveNow = (): void => {
    const [file, command] = this.#command(["down", "--volumes", "--timeout", "0"]);
    spawnSync(file, command, { cwd: root, env: this.#env, stdio: "ignore", timeout: callMs });
    rmSync(this.dir, { recursive: true, force: true });
    process.exit(130);
  };

  /** The shipped tunnel file, for this project's network. */
  async #writeTunnel(): Promise<void> {
    const shipped = await readFile(join(root, "scripts/compose/tunnel/tunnel.yaml"), "utf8");
    const own = shipped.replace("172.31.250.0/24", subnet(this.name));
    assert.notEqual(own, shipped);
    await chmod(this.dir, 0o755);
    await mkdir(join(this.dir, "tunnel"), { mode: 0o755 });
    await writeFile(join(this.dir, "tunnel/tunnel.yaml"), own, { mode: 0o644 });
  }
}

/** Another for every project, so that two can run on one host. */
function subnet(name: string): string {
  const [a = 0, b = 0] = Buffer.from(name.slice(-8), "hex");
  return `10.${200 + (a % 50)}.${b}.0/28`;
}

/**
 * A place to attack from: real sandboxes of shipped profiles, and containers of the test's own that lack a guard, which
 * show that an attack would be seen if it worked.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { PassThrough } from "node:stream";
import { fileURLToPath } from "node:url";
import type Docker from "dockerode";
import { silentLog } from "../../src/log.ts";
import {
  createDockerDriver,
  loadProfiles,
  type Driver,
  type ExecExit,
  type Profile,
  type Sandbox,
} from "../../src/sandbox/index.ts";
import { createBody } from "../../src/sandbox/docker/host-config.ts";
import { guestPath, leakCheck, rawEngine, workerId } from "./docker.ts";

const repo = fileURLToPath(new URL("../..", import.meta.url));
const outputBytes = 4 * 2 ** 20;
const runMs = 60_000;

export type Body = Docker.ContainerCreateOptions & { HostConfig: Docker.HostConfig };

/** A network of the test's own, made and routed as the engine's default one is. */
export interface Bridge {
  name: string;
  /** The host's address in it */
  gateway: string;
}

export interface Ran extends ExecExit {
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  env?: Record<string, string>;
  cwd?: string;
  /** `ms` until the whole tree is killed */
  timeout?: number;
}

export class EscapeRoom implements AsyncDisposable {
  readonly driver: Driver;
  readonly engine = rawEngine();
  /** On every container this room makes */
  readonly label: string;
  readonly worker: string;
  readonly #profiles: ReadonlyMap<string, Profile>;
  #bridge: Promise<Bridge> | undefined;

  private constructor(worker: string, profiles: ReadonlyMap<string, Profile>, dockerHost?: string) {
    this.worker = worker;
    this.label = `dev.sallyport.worker=${worker}`;
    this.#profiles = profiles;
    const at = dockerHost ?? process.env["DOCKER_HOST"];
    this.driver = createDockerDriver(
      { log: silentLog() },
      { worker, boot: "escape", guestPath, ...(at !== undefined && { dockerHost: at }) },
    );
  }

  /** `name` tells the containers of one test file from those of another. */
  static async open(name: string, options: { dockerHost?: string } = {}): Promise<EscapeRoom> {
    assert.ok(existsSync(guestPath), "the guest is built: npm run setup");
    const { profiles, problems } = await loadProfiles(`${repo}sandbox-profiles`);
    assert.deepEqual(problems, []);
    return new EscapeRoom(workerId(`escape-${name}`), profiles, options.dockerHost);
  }

  /** A profile as it is shipped. */
  profile(name = "python"): Profile {
    const profile = this.#profiles.get(name);
    assert.ok(profile !== undefined, `profile ${name} is shipped`);
    return profile;
  }

  async create(name?: string, hosts: string[] = []): Promise<Sandbox> {
    return await this.driver.create({ profile: this.profile(name), lease: "escape", hosts });
  }

  /** The create call of a sandbox of this profile, but for the guest: `change` takes a guard away. */
  sandboxBody(change: (body: Body) => void = () => undefined, name?: string): Body {
    const profile = this.profile(name);
    const owner = { worker: this.worker, boot: "weakened" };
    const spec = { profile, lease: "escape", hosts: [] };
    const facts = { image: profile.image, owner, createdAt: Date.now(), cpus: 1 };
    const body = { ...createBody(spec, facts), OpenStdin: false, StdinOnce: false } as Body;
    change(body);
    return body;
  }

  /** A container without any guard of ours, as `docker run` makes it, but for the network's name. */
  openBody(config: Docker.HostConfig = {}): Body {
    const HostConfig = { NetworkMode: "none", AutoRemove: true, ...config };
    return { Image: this.profile().image, User: "0:0", Labels: this.#labels(), HostConfig };
  }

  /** Made by the first call, removed with the room. */
  bridge(): Promise<Bridge> {
    this.#bridge ??= this.#makeBridge();
    return this.#bridge;
  }

  /** Runs a command as a container of its own, and removes that. */
  async runContainer(body: Body, argv: string[]): Promise<{ stdout: string; exitCode: number }> {
    const container = await this.engine.createContainer({
      ...body,
      Entrypoint: argv.slice(0, 1),
      Cmd: argv.slice(1),
      AttachStdin: false,
    });
    const removed = container.wait({ condition: "removed" }) as Promise<{ StatusCode: number }>;
    const attached = await container.attach({ stream: true, stdout: true, stderr: true });
    const [out, rest] = [new PassThrough(), new PassThrough()];
    container.modem.demuxStream(attached, out, rest);
    rest.resume();
    attached.on("end", () => out.end());
    const late = setTimeout(() => void container.kill().catch(() => undefined), runMs);
    try {
      await container.start();
      const [stdout, { StatusCode: exitCode }] = await Promise.all([text(out), removed]);
      return { stdout, exitCode };
    } finally {
      clearTimeout(late);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.driver[Symbol.asyncDispose]();
    await leakCheck(this.label);
    if (this.#bridge !== undefined) await this.engine.getNetwork((await this.#bridge).name).remove();
  }

  #labels(): Record<string, string> {
    return { "dev.sallyport.worker": this.worker };
  }

  async #makeBridge(): Promise<Bridge> {
    const name = `sallyport-${this.worker}`;
    const network = await this.engine.createNetwork({ Name: name, Driver: "bridge", Labels: this.#labels() });
    const { IPAM } = (await network.inspect()) as { IPAM: { Config: { Gateway?: string }[] } };
    const gateway = IPAM.Config[0]?.Gateway;
    assert.ok(gateway !== undefined, "the bridge has an address of the host");
    return { name, gateway };
  }
}

/** Runs one command in a sandbox as its job would, and takes what it prints, up to a bound. */
export async function run(sandbox: Sandbox, argv: string[], options: RunOptions = {}): Promise<Ran> {
  const { env = {}, cwd = "/workspace", timeout = runMs } = options;
  const exec = await sandbox.guest.exec({ argv, env, cwd, stdin: "none" });
  const late = setTimeout(() => exec.killTree(), timeout);
  const taken = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  let bytes = 0;
  try {
    for await (const chunk of exec.output) {
      bytes += chunk.bytes.length;
      if (bytes <= outputBytes) taken[chunk.stream].push(Buffer.from(chunk.bytes));
    }
    const text = (stream: "stdout" | "stderr"): string => Buffer.concat(taken[stream]).toString("utf8");
    return { ...(await exec.exit), stdout: text("stdout"), stderr: text("stderr") };
  } finally {
    clearTimeout(late);
    exec.killTree();
  }
}

/** Whether `promise` has settled, looked at behind all that is here already. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const note = (): void => void (settled = true);
  promise.then(note, note);
  await new Promise(setImmediate);
  return settled;
}

/** The command that runs `test/escape/inside/NAME.py`. */
export function attack(name: string, ...args: string[]): string[] {
  const code = readFileSync(`${repo}test/escape/inside/${name}.py`, "utf8");
  return ["python3", "-I", "-c", code, ...args];
}

/** Runs an attack in a sandbox and reads the JSON it prints. */
export async function attempt<T>(sandbox: Sandbox, argv: string[], options: RunOptions = {}): Promise<T> {
  const ran = await run(sandbox, argv, options);
  assert.equal(ran.exitCode, 0, `the attack itself failed: ${ran.stderr}${ran.stdout}`);
  return JSON.parse(ran.stdout) as T;
}

/** The same in a container of the test's own. */
export async function attemptIn<T>(room: EscapeRoom, body: Body, argv: string[]): Promise<T> {
  const { stdout, exitCode } = await room.runContainer(body, argv);
  assert.equal(exitCode, 0, `the attack itself failed: ${stdout}`);
  return JSON.parse(stdout) as T;
}

/** A trivial job works, which is what every attack must leave behind. */
export async function stillServes(room: EscapeRoom): Promise<void> {
  await using sandbox = await room.create("shell");
  assert.equal((await run(sandbox, ["echo", "served"])).stdout, "served\n");
}

async function text(stream: PassThrough): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

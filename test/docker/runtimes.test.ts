/** Engine runtimes besides runc, on an engine of this file's own: a broken one, and gVisor where it is installed. */
import assert from "node:assert/strict";
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import Docker from "dockerode";
import { isError } from "../../src/errors.ts";
import { silentLog } from "../../src/log.ts";
import { createDockerDriver, type Driver, type Profile, type Sandbox } from "../../src/sandbox/index.ts";
import * as docker from "../helpers/docker.ts";

const run = promisify(execFile);

/** A second engine that shares nothing with the first: no network, no containers, no images. */
class OwnEngine implements AsyncDisposable {
  readonly #folder: string;
  readonly #process: ChildProcess;

  private constructor(folder: string, child: ChildProcess) {
    this.#folder = folder;
    this.#process = child;
  }

  static async start(runtimes: Record<string, { path: string; runtimeArgs?: string[] }>): Promise<OwnEngine> {
    const folder = await mkdtemp(join(tmpdir(), "sallyport-runtimes-"));
    const at = (name: string): string => join(folder, name);
    await writeFile(at("daemon.json"), JSON.stringify({ runtimes }));
    const paths = { "config-file": "daemon.json", "data-root": "data", "exec-root": "exec", pidfile: "pid" };
    const own = Object.entries(paths).map(([flag, name]) => `--${flag}=${at(name)}`);
    const networkless = ["--bridge=none", "--iptables=false", "--ip-masq=false"];
    const child = spawn("dockerd", [`--host=unix://${at("docker.sock")}`, ...own, ...networkless], {
      stdio: "ignore",
    });
    const engine = new OwnEngine(folder, child);
    try {
      await engine.#answers();
      return engine;
    } catch (error) {
      await engine[Symbol.asyncDispose]();
      throw error;
    }
  }

  get socketPath(): string {
    return join(this.#folder, "docker.sock");
  }

  /** Copies an image from the engine of the other tests. */
  async load(image: string): Promise<void> {
    const client = new Docker({ socketPath: this.socketPath });
    const stream = await client.loadImage(await docker.rawEngine().getImage(image).get());
    for await (const _ of stream as AsyncIterable<Buffer>);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { exitCode } = this.#process;
    if (exitCode === null && this.#process.pid !== undefined) {
      const ended = once(this.#process, "exit");
      this.#process.kill("SIGTERM");
      const forced = setTimeout(() => this.#process.kill("SIGKILL"), 15_000);
      await ended;
      clearTimeout(forced);
    }
    for (const mount of await mountsBelow(this.#folder)) await run("umount", ["-l", mount]);
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #answers(): Promise<void> {
    const client = new Docker({ socketPath: this.socketPath });
    const failed = once(this.#process, "error").then(([error]) => Promise.reject(error as Error));
    failed.catch(() => undefined);
    for (let tries = 0; tries < 150; tries += 1) {
      if (this.#process.exitCode !== null) throw new Error(`dockerd ended with ${this.#process.exitCode}`);
      try {
        await Promise.race([client.ping(), failed]);
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).syscall?.startsWith("spawn") === true) throw error;
        await delay(200);
      }
    }
    throw new Error("dockerd does not answer");
  }
}

async function mountsBelow(folder: string): Promise<string[]> {
  const mounts = (await readFile("/proc/self/mounts", "utf8")).split("\n").map((line) => line.split(" ")[1]);
  return mounts.filter((mount) => mount?.startsWith(`${folder}/`) === true).toReversed() as string[];
}

async function which(program: string): Promise<string | undefined> {
  const found = await run("sh", ["-c", `command -v ${program}`]).catch(() => undefined);
  return found?.stdout.trim();
}

/** Why there can be no second engine here, printed, or `false`. */
async function requireDockerd(): Promise<string | false> {
  const reason =
    process.getuid?.() !== 0
      ? "only root can start a second dockerd"
      : (await which("dockerd")) === undefined && "there is no dockerd on this host";
  if (reason !== false) console.log(`# skipped: ${reason}`);
  return reason;
}

const skip = (await docker.requireEngine()) || (await requireDockerd());

describe("runtimes", { skip, timeout: 180_000 }, async () => {
  const runsc = skip === false ? await which("runsc") : undefined;
  const withoutRunsc = runsc === undefined && "runsc is not on this host (Debian: apt-get install runsc)";
  if (withoutRunsc !== false) console.log(`# skipped: gVisor: ${withoutRunsc}`);
  let engine: OwnEngine;
  let driver: Driver;
  let profile: Profile;

  before(async () => {
    await docker.buildPrograms();
    engine = await OwnEngine.start({
      crun: { path: "/bin/false" },
      kata: { path: "/nowhere/kata" },
      ...(runsc !== undefined && {
        runsc: { path: runsc, runtimeArgs: ["--network=none", "--platform=ptrace"] },
      }),
    });
    const image = await docker.testImage();
    await engine.load(image);
    profile = docker.smallProfile(image);
    const settings = { worker: "runtimes", boot: "boot", guestPath: docker.guestPath };
    driver = createDockerDriver(
      { log: silentLog() },
      { ...settings, dockerHost: `unix://${engine.socketPath}` },
    );
  });
  after(async () => {
    await driver?.[Symbol.asyncDispose]();
    await engine?.[Symbol.asyncDispose]();
  });

  test("a runtime that is registered and cannot start is refused with the engine's reason", async () => {
    for (const [runtime, reason] of [
      ["crun", /\/bin\/false did not terminate successfully/],
      ["kata", /\/nowhere\/kata.*no such file/],
    ] as const) {
      await assert.rejects(driver.prepare({ ...profile, runtime }), (error) => {
        assert.ok(isError(error, "runtime_unavailable"), String(error));
        assert.match(error.message, reason);
        assert.ok(typeof error.details["fix"] === "string");
        return true;
      });
    }
    assert.deepEqual(await driver.list(), []);
  });

  test("the probe tells which runtimes work, and what each that does not says", async () => {
    const { engine: seen, checks, warnings } = await driver.probe();
    assert.ok(checks.every(({ ok }) => ok));
    assert.match(seen.facts["runtime crun"] ?? "", /does not work.*\/bin\/false/);
    assert.match(seen.facts["runtime kata"] ?? "", /does not work.*\/nowhere\/kata/);
    if (runsc === undefined) return;
    assert.equal(seen.facts["runtime runsc"], "starts");
    assert.ok(warnings.some((warning) => warning.startsWith("runtime runsc lets pass")));
  });

  describe("gVisor", { skip: withoutRunsc }, () => {
    const create = async (resources: Partial<Profile["resources"]> = {}): Promise<Sandbox> => {
      const gvisor = { ...profile, runtime: "runsc" as const };
      const limits = { ...profile.resources, memory: 128 * 2 ** 20, ...resources };
      return await driver.create({
        profile: { ...gvisor, resources: limits },
        lease: "lease",
        hosts: ["docs"],
      });
    };
    const printed = async (sandbox: Sandbox, script: string): Promise<string> => {
      const argv = ["sh", "-c", script];
      const exec = await sandbox.guest.exec({ argv, env: {}, cwd: "/workspace", stdin: "none" });
      const chunks: Uint8Array[] = [];
      for await (const { bytes } of exec.output) chunks.push(bytes.slice());
      return Buffer.concat(chunks).toString();
    };

    test("is prepared, and a command runs on its own kernel", async () => {
      await driver.prepare({ ...profile, runtime: "runsc" });
      await using sandbox = await create();
      assert.equal(await printed(sandbox, "echo $((6 * 7)); exit 3"), "42\n");
      const { stdout } = await run("uname", ["-r"]);
      assert.notEqual(await printed(sandbox, "uname -r"), stdout);
    });

    test("has no network but lo, resolves the job's hosts, and knows nothing of the host's resolver", async () => {
      await using sandbox = await create();
      assert.match(await printed(sandbox, "cat /etc/hosts"), /^127\.0\.0\.1\tdocs$/m);
      const resolver = await printed(sandbox, "cat /etc/resolv.conf");
      assert.deepEqual(resolver.match(/^(nameserver|search).*$/gm), ["nameserver 127.0.0.1"]);
      const devices = await printed(sandbox, "tail -n +3 /proc/net/dev | cut -d: -f1");
      assert.equal(devices.trim(), "lo");
    });

    test("runs as uid 1000 without capabilities on a read-only root with folders of a fixed size", async () => {
      await using sandbox = await create();
      assert.equal(
        await printed(sandbox, "id -u; grep CapEff /proc/self/status"),
        "1000\nCapEff:\t0000000000000000\n",
      );
      assert.match(await printed(sandbox, "echo x 2>&1 > /etc/x"), /denied|[Rr]ead-only/);
      const filled = await printed(sandbox, "head -c 100000000 /dev/zero 2>&1 > /tmp/x; wc -c < /tmp/x");
      assert.match(filled, /No space left/);
      assert.ok(filled.trim().endsWith(String(profile.resources.tmp)));
    });

    test("carries files both ways, and stdin", async () => {
      await using sandbox = await create();
      const content = Buffer.from([0, 255, 10, 13, 128]);
      await sandbox.guest.files.put("in/data", content);
      const chunks: Uint8Array[] = [];
      for await (const chunk of sandbox.guest.files.get("in/data", 100)) chunks.push(chunk.slice());
      assert.deepEqual(Buffer.concat(chunks), content);
      assert.deepEqual(
        (await sandbox.guest.files.list("in")).map(({ type, size }) => ({ type, size })),
        [{ type: "file", size: 5 }],
      );
      const exec = await sandbox.guest.exec({ argv: ["cat"], env: {}, cwd: "/", stdin: "pipe" });
      await exec.stdin.write(content);
      exec.stdin.end();
      const out: Uint8Array[] = [];
      for await (const { bytes } of exec.output) out.push(bytes.slice());
      assert.deepEqual(Buffer.concat(out), content);
    });

    test("runs as many processes as its profile allows, and tells what it uses", async () => {
      await using sandbox = await create({ pids: 32, memory: 256 * 2 ** 20 });
      const script = "for i in $(seq 24); do sleep 2 & done; wait; echo all";
      assert.equal(await printed(sandbox, script), "all\n");
      const { memoryBytes, pids } = await sandbox.stats();
      assert.ok(memoryBytes > 0 && memoryBytes < 256 * 2 ** 20 && pids > 1);
    });

    test("signals reach a tree, and a command that is stopped is told so", async () => {
      await using sandbox = await create();
      const exec = await sandbox.guest.exec({
        argv: ["sh", "-c", "sleep 600 & sleep 600"],
        env: {},
        cwd: "/",
        stdin: "none",
      });
      await delay(300);
      exec.killTree();
      assert.equal((await exec.exit).signal, "SIGKILL");
      for await (const _ of exec.output);
    });

    test("memory that runs out ends the sandbox and is told as that", async () => {
      await using sandbox = await create({ workspace: 512 * 2 ** 20 });
      await printed(sandbox, "head -c 400000000 /dev/zero > /workspace/x").catch(() => undefined);
      const end = await sandbox.ended;
      assert.equal(await sandbox.memoryRanOut(), true);
      assert.deepEqual({ by: end.by, oom: end.oom }, { by: "exited", oom: true });
    });

    test("a sandbox whose lifeline is cut ends by itself, and nothing is left", async () => {
      const sandbox = await create();
      sandbox.guest.close();
      assert.equal((await sandbox.ended).by, "exited");
      assert.deepEqual(await driver.list(), []);
    });
  });
});

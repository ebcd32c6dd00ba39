/** `profiles cost` on a small profile: measured once, known afterwards, nothing left. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import * as docker from "../helpers/docker.ts";

const skip = await docker.requireEngine();
const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

const file = (name: string, resources: object): string =>
  JSON.stringify({
    name,
    shape: "shell",
    image: process.env["TEST_IMAGE"] ?? "sallyport/base",
    resources: { cpus: 1, memory: "64MiB", pids: 32, workspace: "8MiB", tmp: "4MiB", ...resources },
    limits: { wallClock: "60s", output: "1MiB", artifacts: "1MiB" },
    pool: { warm: 0, maxAge: "10m" },
  });

describe("profiles cost", { skip, timeout: 120_000 }, () => {
  let folder: string;
  const run = async (
    args: string[],
    interruptAt?: string,
  ): Promise<{ code: number; stdout: string; stderr: string }> => {
    const argv = [main, "profiles", "cost", "--state", "state", "--profiles", "profiles", ...args];
    const child = spawn(process.execPath, argv, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    child.stderr.on("data", (chunk: Buffer) => {
      if (interruptAt !== undefined && chunk.includes(interruptAt)) child.kill("SIGINT");
    });
    const [stdout, stderr, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "exit") as Promise<[number]>,
    ]);
    return { code, stdout, stderr };
  };

  before(async () => {
    await docker.buildPrograms();
    await docker.testImage();
    folder = await mkdtemp(join(tmpdir(), "sallyport-cost-"));
    await mkdir(join(folder, "profiles"));
    await writeFile(join(folder, "profiles", "tiny.json"), file("tiny", {}));
    await writeFile(join(folder, "profiles", "huge.json"), file("huge", { cpus: 1_000 }));
  });
  after(async () => {
    await rm(folder, { recursive: true });
    await docker.leakCheck("dev.sallyport.lease=cost");
  });

  test("one that is interrupted removes its sandboxes and says so", async () => {
    const { code, stdout, stderr } = await run(["tiny"], "cold starts");
    assert.equal(code, 130, stderr);
    assert.equal(stdout, "");
    assert.match(stderr, /stopped/);
    await docker.leakCheck("dev.sallyport.lease=cost");
  });

  test("figures are measured once and known afterwards; what cannot run here is told with the reason", async () => {
    interface Printed {
      costs: {
        profile: string;
        cached: boolean;
        figures: { measuredAt: string; cold: { n: number; p50Ms: number }; idleBytes: number } | null;
        unusable: { code: string; message: string } | null;
      }[];
    }
    const first = await run(["--json"]);
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stderr, /tiny: \d+ cold starts/);
    const { costs } = JSON.parse(first.stdout) as Printed;
    const [huge, tiny] = costs.toSorted((a, b) => (a.profile < b.profile ? -1 : 1));
    assert.equal(huge?.figures, null);
    assert.match(huge?.unusable?.message ?? "", /resources\.cpus asks for 1000/);
    assert.ok(tiny?.figures && !tiny.cached && tiny.figures.cold.n >= 5);
    assert.ok(tiny.figures.idleBytes > 0 && tiny.figures.idleBytes < 64 * 2 ** 20);
    const again = await run(["tiny", "--json"]);
    const [known] = (JSON.parse(again.stdout) as Printed).costs;
    assert.deepEqual(
      { cached: known?.cached, figures: known?.figures },
      { cached: true, figures: tiny.figures },
    );
    assert.equal(again.stderr, "");
    const shown = await run(["tiny"]);
    assert.match(shown.stdout, /^tiny +\S+ ms \/ \S+ ms .*before$/m);
  });

  test("a profile that is named and cannot run, or is not there, makes the command fail", async () => {
    assert.equal((await run(["huge"])).code, 1);
    const { code, stderr } = await run(["nosuch"]);
    assert.equal(code, 1);
    assert.match(stderr, /no profile "nosuch"[^]*use one of: huge, tiny/);
  });
});

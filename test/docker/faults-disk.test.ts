/** The disk of the hub's state folder fills up: refusals with a code, no crash, nothing accepted is lost, and it goes on by itself. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { appendFile, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { isError } from "../../src/errors.ts";
import { requireEngine } from "../helpers/docker.ts";
import { Fleet } from "../helpers/fleet.ts";
import {
  follow,
  generated,
  generator,
  over,
  pythonProfile,
  script,
  shellProfile,
  stdoutOf,
  verdictOf,
} from "../helpers/fleet-jobs.ts";
import { eventually } from "../helpers/hub.ts";

const run = promisify(execFile);
const root = process.getuid?.() === 0 ? false : "mounting a small disk needs root";
const skip = (await requireEngine()) || root;

class SmallDisk implements AsyncDisposable {
  readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  static async mount(dir: string, size: string): Promise<SmallDisk> {
    await mkdir(dir, { recursive: true });
    await run("mount", ["-t", "tmpfs", "-o", `size=${size},mode=0700`, "tmpfs", dir]);
    return new SmallDisk(dir);
  }

  /** To the last block */
  async fill(): Promise<void> {
    for (const bytes of [2 ** 20, 2 ** 16, 2 ** 12]) {
      const block = Buffer.alloc(bytes);
      for (let room = true; room;) {
        room = await appendFile(this.#ballast, block).then(
          () => true,
          (error: NodeJS.ErrnoException) => {
            assert.equal(error.code, "ENOSPC");
            return false;
          },
        );
      }
    }
  }

  async free(): Promise<void> {
    await rm(this.#ballast);
  }

  get #ballast(): string {
    return join(this.dir, "ballast");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run("umount", ["-l", this.dir]);
  }
}

async function ready(fleet: Fleet): Promise<{ status: number; text: string }> {
  const response = await fetch(`${fleet.url}/readyz`);
  return { status: response.status, text: await response.text() };
}

test(
  "disk full under a running job: submissions are refused, accepted jobs are kept, and all goes on",
  { skip },
  async () => {
    await using stack = new AsyncDisposableStack();
    const fleet = await Fleet.make();
    await using disk = await SmallDisk.mount(join(fleet.dir, "hub"), "32m");
    stack.use(fleet);
    const hub = await fleet.startHub();
    await fleet.startWorker({ profiles: await fleet.profiles("profiles", shellProfile, pythonProfile) });
    const { client } = fleet;
    const waiting = await client.jobs.submit(script("echo waited", { labels: { nowhere: "yet" } }));
    const job = await client.jobs.submit(generator());
    const midway = Promise.withResolvers<void>();
    const followed = follow(client, job.id, (total) => {
      if (total > 100_000) midway.resolve();
    });
    await Promise.race([midway.promise, followed]);
    await disk.fill();
    const refusal = await eventually(async () =>
      client.jobs.submit(script("x".repeat(500_000))).then(
        () => undefined,
        (error: unknown) => error,
      ),
    );
    assert.ok(isError(refusal, "store_full", "store_unavailable"), String(refusal));
    assert.ok(refusal.status === 507 || refusal.status === 503);
    assert.ok(typeof refusal.details["fix"] === "string", "it says what to do");
    const refused = await fleet.run([
      "run",
      "--json",
      "--profile",
      "shell",
      "--",
      "echo",
      "x".repeat(100_000),
    ]);
    assert.equal(refused.code, 125);
    assert.match(refused.stderr, /"code":"store_(full|unavailable)"/);
    const full = await ready(fleet);
    assert.equal(full.status, 503);
    assert.match(full.text, /store_(full|unavailable)/);
    assert.ok(hub.running);
    await disk.free();
    assert.ok((await followed).equals(generated()), "the followed output is whole");
    assert.deepEqual(verdictOf(await over(client, job.id)), ["succeeded", "exited", 1]);
    assert.ok((await stdoutOf(client, job.id)).equals(generated()), "the stored output is whole");
    assert.equal((await client.jobs.get(waiting.id)).state, "queued");
    await eventually(async () => (await ready(fleet)).status === 200);
    const next = await client.jobs.submit(script("echo room"));
    assert.deepEqual(verdictOf(await over(client, next.id)), ["succeeded", "exited", 1]);
    // what was accepted before outlives a crash on a disk that is full again
    await disk.fill();
    await hub.stop("SIGKILL");
    const { port } = fleet;
    const again = await fleet.startHub({ port }).catch(() => undefined);
    await disk.free();
    if (again === undefined) await fleet.startHub({ port });
    assert.equal((await client.jobs.get(waiting.id)).state, "queued");
    assert.ok((await stdoutOf(client, job.id)).equals(generated()));
  },
);

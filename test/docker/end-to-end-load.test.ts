/** A hundred jobs at once on eight slots, with hub and worker as separate processes: all right, and nothing left behind. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { sleep } from "../../src/async/index.ts";
import type { Client } from "../../src/client/index.ts";
import { requireEngine } from "../helpers/docker.ts";
import { descriptorsOf, type Process } from "../helpers/fleet-process.ts";
import { Fleet } from "../helpers/fleet.ts";
import { pythonProfile, script, shellProfile } from "../helpers/fleet-jobs.ts";
import { eventually } from "../helpers/hub.ts";

const skip = await requireEngine();
const slots = 8;
const total = 100;

/** Odd ones feed stdin, every tenth leaves an artifact; each prints what only it can. */
async function one(client: Client, number: number): Promise<string> {
  const request =
    number % 2 === 0
      ? script(
          `echo $((${number} * ${number})) | tee out.txt`,
          number % 10 === 0 ? { artifacts: ["out.txt"] } : {},
        )
      : script("wc -c", { stdin: "x".repeat(number * 30_000) });
  const { id, events } = await client.jobs.run(request);
  let printed = "";
  for await (const event of events) {
    if (event.type === "stdout") printed += Buffer.from(event.bytes).toString();
    if (event.type === "finished") assert.equal(event.result.reason, "exited", id);
  }
  if (number % 10 === 0) {
    let artifact = "";
    for await (const part of (await client.jobs.artifact(id, "out.txt")).bytes)
      artifact += String(Buffer.from(part));
    assert.equal(artifact, printed);
  }
  return printed.trim();
}

const wanted = (number: number): string => String(number % 2 === 0 ? number * number : number * 30_000);

/** The most containers of this fleet the engine ever showed, while `work` went on */
async function mostSandboxes(fleet: Fleet, work: Promise<unknown>): Promise<number> {
  const finished = work.then(() => true);
  let most = 0;
  do most = Math.max(most, (await fleet.sandboxes()).length);
  while (!(await Promise.race([finished, sleep(20).then(() => false)])));
  return most;
}

/** Files of this fleet but the hub's database, whose side files come and go */
function filesOf(fleet: Fleet): string[] {
  return readdirSync(fleet.dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith("store."))
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
}

async function backTo(baseline: ReturnType<typeof descriptorsOf>, { pid }: Process): Promise<void> {
  await eventually(() => {
    const { all, sockets } = descriptorsOf(pid);
    return all <= baseline.all && sockets <= baseline.sockets;
  }, 20_000).catch((error: unknown) => {
    const cause = { cause: error };
    throw new Error(
      `open: ${JSON.stringify(descriptorsOf(pid))}, before: ${JSON.stringify(baseline)}`,
      cause,
    );
  });
}

test(
  "100 jobs at once on 8 slots: 100 right results, never more sandboxes, nothing left",
  { skip },
  async () => {
    await using fleet = await Fleet.make({ logLevel: "info" });
    const hub = await fleet.startHub();
    const profiles = await fleet.profiles("profiles", shellProfile, pythonProfile);
    const worker = await fleet.startWorker({ slots, profiles });
    const { client } = fleet;
    assert.equal(await one(client, 10), wanted(10));
    await eventually(async () => (await fleet.sandboxes()).length === 0);
    const files = filesOf(fleet);
    const before = [hub, worker].map(({ pid }) => descriptorsOf(pid));
    const numbers = Array.from({ length: total }, (_, at) => at + 1);
    const work = Promise.all(numbers.map((number) => one(client, number)));
    const most = await mostSandboxes(fleet, work);
    assert.deepEqual(await work, numbers.map(wanted));
    assert.ok(most <= slots, `${most} sandboxes at once`);
    assert.ok(most > slots / 2, `${most} sandboxes at once: the slots were used`);
    await eventually(async () => (await fleet.sandboxes()).length === 0);
    for (const [at, role] of [hub, worker].entries()) {
      const baseline = before[at];
      assert.ok(baseline);
      await backTo(baseline, role);
    }
    assert.deepEqual(filesOf(fleet), files);
  },
);

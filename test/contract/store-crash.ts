/** A process that writes to a store until it is killed, and the look at what it left. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Store } from "../../src/store/index.ts";
import { inputsOf, jobSpec, logPart } from "../helpers/store.ts";

const child = join(import.meta.dirname, "store-crash-child.ts");

export interface Writer {
  pid: number;
  /** Resolves, once it is dead whoever killed it, with the lines it printed whole. */
  died: Promise<string[]>;
  /** Kills it, whatever it is doing by then; resolves with the lines it printed whole. */
  kill(options?: { afterLines: number }): Promise<string[]>;
}

/** `where`: a folder, or the URL of a database. */
export async function startWriter(where: string, life: string, clients = 6): Promise<Writer> {
  const writer = spawn(process.execPath, [child, where, life, String(clients)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const { pid = 0 } = writer;
  let printed = "";
  writer.stdout.setEncoding("utf8").on("data", (text: string) => (printed += text));
  await Promise.race([once(writer.stdout, "data"), once(writer, "exit")]);
  const closed = once(writer, "close");
  const linesOfDead = async (): Promise<string[]> => {
    await closed;
    assert.equal(writer.signalCode, "SIGKILL", `the writer ended by itself: ${printed}`);
    return printed.split("\n").slice(1, -1);
  };
  const died = linesOfDead();
  died.catch(() => undefined);
  return {
    pid,
    died,
    kill: async ({ afterLines } = { afterLines: 0 }) => {
      while (writer.exitCode === null && printed.split("\n").length <= afterLines) {
        await Promise.race([once(writer.stdout, "data"), closed]);
      }
      writer.kill("SIGKILL");
      return await died;
    },
  };
}

/** Nothing of a life hangs in between: what was under way ends or waits once its lease is over, and is counted right. */
export async function assertSettles(store: Store, life: string): Promise<void> {
  await store.leases.expire(2e12);
  const { jobs } = await store.jobs.list({ limit: 500 });
  const own = jobs.filter(({ id }) => id.startsWith(`${life}-`));
  const waiting = own.filter(({ state }) => state === "queued");
  for (const { id, state, result, attempts } of own) {
    assert.equal(result === null, state === "queued", `${id} is ${state}`);
    assert.ok(attempts.length <= 1, `${id}: attempts of one claim`);
  }
  const pools = await store.leases.pools();
  const counted = pools.filter(({ profile }) => profile.endsWith(`-${life}`));
  assert.equal(
    counted.reduce((sum, { queued }) => sum + queued, 0),
    waiting.length,
    `${life}: as many are counted as wait`,
  );
}

/** What a line of the writer's says was acknowledged is there. */
export async function assertKept(store: Store, [what = "", id = "", value]: string[]): Promise<void> {
  const job = await store.jobs.get(id);
  assert.ok(job !== null, `${id} is gone`);
  assert.deepEqual(await store.jobs.spec(id), jobSpec({ profile: job.profile }));
  const attempt = job.attempts[0];
  switch (what) {
    case "submitted":
      assert.equal((await inputsOf(store, id)).toString(), id);
      return;
    case "accepted":
      assert.equal(attempt?.epoch, Number(value));
      return;
    case "appended": {
      const { bytes } = logPart(["stdout", Buffer.alloc(3_000, id)]);
      const chunks = await store.log.read(id, 1, 0, 2 ** 20);
      assert.ok(Buffer.concat(chunks.map((chunk) => chunk.bytes)).equals(bytes), `${id}: other bytes`);
      assert.equal(attempt?.logEnd, Number(value));
      return;
    }
    default:
      assert.equal(what, "finished");
      assert.equal(job.result?.exitCode, Number(value));
      assert.equal(attempt?.reason, "exited");
  }
}

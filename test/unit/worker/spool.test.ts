import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { silentLog } from "../../../src/log.ts";
import { Spool } from "../../../src/worker/spool.ts";

interface TestSpool extends AsyncDisposable {
  spool: Spool;
  directory: string;
}

async function makeSpool(memoryBytes: number, totalBytes: number, folder = ""): Promise<TestSpool> {
  const base = await mkdtemp(join(tmpdir(), "sallyport-spool-"));
  const directory = join(base, folder);
  const spool = new Spool({ log: silentLog() }, { memoryBytes, totalBytes, directory });
  return {
    spool,
    directory,
    [Symbol.asyncDispose]: async () => {
      await spool[Symbol.asyncDispose]();
      await rm(base, { recursive: true, force: true });
    },
  };
}

async function readAll(spool: Spool, from: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for (let at = from; at < spool.to;) {
    const bytes = await spool.read(at, 1_000);
    parts.push(bytes.slice());
    at += bytes.length;
  }
  return Buffer.concat(parts);
}

const block = (size: number, value: number): Uint8Array => new Uint8Array(size).fill(value);

test("what fits memory is taken and read back in the same turn", async () => {
  await using made = await makeSpool(1_000, 5_000);
  assert.equal(made.spool.append(block(900, 1)), undefined);
  assert.ok(made.spool.read(0, 64) instanceof Uint8Array);
});

test("property: any appends, reads and confirmations give back exactly what was appended", async () => {
  const step = fc.record({ size: fc.integer({ min: 1, max: 6_000 }), confirm: fc.nat({ max: 100 }) });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 40 }),
      fc.boolean(),
      async (steps, detached) => {
        await using made = await makeSpool(10_000, 40_000);
        const { spool } = made;
        spool.detached = detached;
        let expected = Buffer.alloc(0);
        for (const [index, { size, confirm }] of steps.entries()) {
          const bytes = block(size, index & 0xff);
          const waiting = spool.append(bytes);
          if (waiting !== undefined) {
            if (!detached || spool.to - spool.from + size > 35_000) spool.confirm(spool.to);
            await waiting;
          }
          expected = Buffer.concat([expected, bytes]);
          assert.ok((await readAll(spool, spool.from)).equals(expected.subarray(spool.from)));
          spool.confirm(spool.from + Math.floor(((spool.to - spool.from) * confirm) / 100));
        }
        assert.equal(spool.to, expected.length);
      },
    ),
    { numRuns: 40 },
  );
});

test("read by somebody, a full memory waits; left alone, it goes to disk; full again, it waits", async () => {
  await using made = await makeSpool(10_000, 30_000);
  const { spool } = made;
  spool.detached = false;
  await spool.append(block(10_000, 1));
  let taken = false;
  const waiting = spool.append(block(10_000, 2))?.then(() => {
    taken = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual([taken, spool.full], [false, true]);
  spool.detached = true;
  await waiting;
  await spool.append(block(10_000, 3));
  assert.equal(spool.to - spool.from, 30_000);
  const controller = new AbortController();
  const refused = spool.append(block(1, 4), controller.signal);
  assert.ok(refused !== undefined);
  controller.abort(new Error("enough"));
  await assert.rejects(refused, { message: "enough" });
  assert.equal(spool.to, 30_000);
  assert.deepEqual(await readdir(made.directory), []);
});

test("what is confirmed on disk makes room there, again and again", async () => {
  await using made = await makeSpool(1_000, 3_000);
  const { spool } = made;
  await spool.append(block(1_000, 0));
  for (let turn = 1; turn <= 10; turn += 1) {
    await spool.append(block(1_000, turn));
    assert.deepEqual([spool.full, spool.to - spool.from <= 3_000], [false, true]);
    if (turn > 1) spool.confirm(spool.from + 1_000);
  }
  assert.ok((await readAll(spool, spool.from)).subarray(-1_000).equals(Buffer.alloc(1_000, 10)));
});

test("one append larger than the whole spool passes once it is empty", async () => {
  await using made = await makeSpool(100, 200);
  await made.spool.append(block(50, 1));
  const waiting = made.spool.append(block(5_000, 2));
  made.spool.confirm(50);
  await waiting;
  assert.equal(made.spool.to, 5_050);
});

test("a disk that takes nothing makes the program wait and loses nothing", async () => {
  await using made = await makeSpool(1_000, 5_000, "\0no-such-folder");
  const { spool } = made;
  await spool.append(block(1_000, 1));
  const waiting = spool.append(block(1_000, 2));
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(spool.full, true);
  spool.confirm(1_000);
  await waiting;
  assert.ok((await readAll(spool, 1_000)).equals(Buffer.alloc(1_000, 2)));
});

/** Output and artifacts, byte by byte. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import { attemptOutcome, claimOne, leaseOne, logPart, newJob, openSession } from "../../helpers/store.ts";
import { type Laws } from "./laws.ts";

export function logsLaws({ engine, promise }: Laws): void {
  describe(`store (${engine.name}): logs`, () => {
    promise("what is below the durable end is skipped, a gap is refused", async (store) => {
      const { id } = await openSession(store);
      const { lease } = await leaseOne(store, id, newJob("j1"));
      const one = logPart(["stdout", "one"]);
      const two = logPart(["stderr", "two!"], ["stdout", "x"]);
      const both = {
        bytes: Buffer.concat([one.bytes, two.bytes]),
        stdout: one.stdout + two.stdout,
        stderr: one.stderr + two.stderr,
      };
      const end = both.bytes.length;
      assert.equal(await store.log.append(lease, { from: 0, ...one }), one.bytes.length);
      assert.equal(await store.log.append(lease, { from: 0, ...one }), one.bytes.length);
      await assert.rejects(store.log.append(lease, { from: one.bytes.length + 1, ...two }), {
        code: "protocol_violation",
      });
      assert.equal(await store.log.append(lease, { from: 0, ...both }), end);
      assert.equal(await store.log.append(lease, { from: 0, ...both }), end);
      assert.deepEqual(await store.log.end("j1", 1), { logEnd: end, stdout: 4, stderr: 4 });
      const chunks = await store.log.read("j1", 1, 0, 2 ** 20);
      assert.ok(Buffer.concat(chunks.map(({ bytes }) => bytes)).equals(both.bytes));
      assert.equal((await store.jobs.get("j1"))?.attempts[0]?.logEnd, end);
    });

    promise("the writer's bytes stay its own, also as a part of a larger buffer", async (store) => {
      const { id } = await openSession(store);
      const { lease } = await leaseOne(store, id, newJob("j1"));
      const { bytes, ...counts } = logPart(["stdout", "abc"]);
      const large = Buffer.concat([Buffer.alloc(1_000, 1), bytes, Buffer.alloc(1_000, 2)]);
      const part = large.subarray(1_000, 1_000 + bytes.length);
      await store.log.append(lease, { from: 0, bytes: part, ...counts });
      assert.deepEqual(part, bytes);
      const [chunk] = await store.log.read("j1", 1, 0, 10);
      assert.deepEqual(Buffer.from(chunk?.bytes ?? []), bytes);
    });

    promise("a log is read in whole chunks from the one that holds the place", async (store) => {
      const { id } = await openSession(store);
      const { lease } = await leaseOne(store, id, newJob("j1"));
      const part = logPart(["stdout", "0123456789"]);
      const size = part.bytes.length;
      for (let i = 0; i < 10; i++) await store.log.append(lease, { from: i * size, ...part });
      const ranges = async (from: number, max: number): Promise<number[][]> =>
        (await store.log.read("j1", 1, from, max)).map((chunk) => [chunk.from, chunk.to, chunk.stdoutBefore]);
      assert.deepEqual(await ranges(0, 1), [[0, size, 0]]);
      assert.deepEqual(await ranges(size * 3 + 5, size + 1), [
        [size * 3, size * 4, 30],
        [size * 4, size * 5, 40],
      ]);
      assert.deepEqual((await ranges(size * 9, 2 ** 20)).length, 1);
      assert.deepEqual(await ranges(size * 10, 2 ** 20), []);
      assert.deepEqual(await store.log.read("j1", 2, 0, 10), []);
      assert.deepEqual(await store.log.end("j1", 2), { logEnd: 0, stdout: 0, stderr: 0 });
    });

    promise("every byte of each stream is found in the chunk that holds it", async (store) => {
      const { id } = await openSession(store);
      const { lease } = await leaseOne(store, id, newJob("j1"));
      const parts = [
        logPart(["event", '{"event":"started"}']),
        logPart(["stdout", "abc"]),
        logPart(["stderr", "E"]),
        logPart(["stdout", "d"], ["stderr", "FG"], ["stdout", "ef"]),
        logPart(["event", '{"event":"x"}']),
        logPart(["stderr", "H"]),
      ];
      const homes: Record<"stdout" | "stderr", number[]> = { stdout: [], stderr: [] };
      let from = 0;
      for (const part of parts) {
        for (const stream of ["stdout", "stderr"] as const) {
          for (let i = 0; i < part[stream]; i++) homes[stream].push(from);
        }
        from = Number(await store.log.append(lease, { from, ...part }));
      }
      for (const stream of ["stdout", "stderr"] as const) {
        const found = await Promise.all(
          homes[stream].map(async (_, offset) => (await store.log.locate("j1", 1, stream, offset))?.from),
        );
        assert.deepEqual(found, homes[stream]);
        assert.equal(await store.log.locate("j1", 1, stream, homes[stream].length), null);
      }
      assert.equal(await store.log.locate("j1", 2, "stdout", 0), null);
    });

    promise("each attempt has a log of its own", async (store) => {
      const { id } = await openSession(store);
      const first = await leaseOne(store, id, newJob("j1", { spec: { maxAttempts: 2 } }));
      await store.log.append(first.lease, { from: 0, ...logPart(["stdout", "first"]) });
      await store.leases.finish(first.lease, attemptOutcome({ reason: "sandbox_lost" }), 3);
      const second = await claimOne(store, id);
      await store.leases.accept(second.lease, 4);
      assert.equal(
        await store.log.append(first.lease, { from: 0, ...logPart(["stdout", "late"]) }),
        "superseded",
      );
      await store.log.append(second.lease, { from: 0, ...logPart(["stdout", "2nd"]) });
      assert.equal((await store.log.end("j1", 1)).stdout, 5);
      assert.equal((await store.log.end("j1", 2)).stdout, 3);
    });

    promise(
      "artifacts are seen once complete, byte by byte, and only those of the latest attempt",
      async (store) => {
        const { id } = await openSession(store);
        const { lease } = await leaseOne(store, id, newJob("j1", { spec: { maxAttempts: 2 } }));
        const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => i % 251);
        const path = "out/a.bin";
        const put = (offset: number, to: number, complete = false) =>
          store.log.putArtifact(lease, { path, offset, bytes: bytes.subarray(offset, to), complete });
        await put(0, 50);
        assert.equal(await put(0, 100_000), "recorded", "from the start again");
        await put(100_000, 200_000);
        await put(100_000, 200_000);
        await assert.rejects(put(250_000, 300_000), { code: "protocol_violation" });
        assert.deepEqual(await store.log.artifacts("j1"), []);
        assert.equal(await store.jobs.artifact("j1", path), null);
        await put(200_000, 300_000, true);
        assert.equal(await put(0, 10), "recorded", "what is complete stays as it is");
        await store.log.putArtifact(lease, {
          path: "empty",
          offset: 0,
          bytes: new Uint8Array(),
          complete: true,
        });
        assert.deepEqual(await store.log.artifacts("j1"), [
          { path: "empty", size: 0 },
          { path, size: 300_000 },
        ]);
        const found = await store.jobs.artifact("j1", path);
        assert.equal(found?.size, 300_000);
        for (const [from, to] of [
          [0, 300_000],
          [99_999, 100_001],
          [5, 5],
          [299_999, 400_000],
        ] as const) {
          assert.ok(
            Buffer.from((await found?.read(from, to)) ?? []).equals(bytes.subarray(from, to)),
            `${from}-${to}`,
          );
        }
        assert.equal((await (await store.jobs.artifact("j1", "empty"))?.read(0, 1))?.length, 0);
        await store.leases.finish(lease, attemptOutcome({ reason: "sandbox_lost" }), 3);
        const second = await claimOne(store, id);
        await store.leases.accept(second.lease, 4);
        assert.deepEqual(await store.log.artifacts("j1"), []);
        assert.equal(await put(0, 10), "superseded");
      },
    );
  });
}

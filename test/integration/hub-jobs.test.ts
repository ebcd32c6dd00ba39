import assert from "node:assert/strict";
import { test } from "node:test";
import { deferred } from "../../src/async/index.ts";
import { SallyportError } from "../../src/errors.ts";
import { jobResultSchema } from "../../src/protocol/index.ts";
import { held, workerOf } from "../helpers/hub-workers.ts";
import { eventually, TestHub } from "../helpers/hub.ts";
import type { SimulatedJob } from "../helpers/simulated-worker.ts";
import { storeWith } from "../helpers/store.ts";

test("a submitted job runs and its result is told", async () => {
  await using hub = await TestHub.start();
  await using _worker = await workerOf(hub);
  const job = await hub.submit();
  assert.match(job.id, /^job_[0-9A-Z]{26}$/);
  const ended = await hub.wait(job.id);
  assert.equal(ended.state, "succeeded");
  const result = jobResultSchema.parse(ended.result);
  assert.equal(result.reason, "exited");
  assert.equal(result.output.stdoutBytes, 6);
  assert.equal(ended.attempts.length, 1);
  assert.notEqual(ended.attempts[0]?.startedAt, null);
  assert.equal((await hub.call(`/v1/jobs/${job.id}/stdout`)).text, "hello\n");
});

test("a job waits for its first worker, also when none is connected that offers its profile", async () => {
  await using hub = await TestHub.start();
  await (await workerOf(hub))[Symbol.asyncDispose]();
  const job = await hub.submit();
  assert.equal((await hub.wait(job.id, "50ms")).state, "queued");
  await using _worker = await workerOf(hub);
  assert.equal((await hub.wait(job.id)).state, "succeeded");
});

test("waiting for a job ends with the time named, and takes at most a minute", async () => {
  await using hub = await TestHub.start();
  await (await workerOf(hub))[Symbol.asyncDispose]();
  const job = await hub.submit();
  assert.equal((await hub.wait(job.id, "20ms")).state, "queued");
  const tooLong = await hub.call(`/v1/jobs/${job.id}?wait=61s`);
  assert.deepEqual([tooLong.status, tooLong.json.error.details["field"]], [400, "wait"]);
});

test("contents are read from the store as the worker takes them, and again where the store was in trouble", async () => {
  const read: number[] = [];
  await using hub = await TestHub.start({
    wrapStore: (store) =>
      storeWith(store, {
        jobs: {
          ...store.jobs,
          inputs: async (id, n) => {
            read.push(n);
            if (n === 1 && read.length === 2) throw new SallyportError("store_unavailable", "for a moment");
            return await store.jobs.inputs(id, n);
          },
        },
      }),
  });
  const content = Buffer.alloc(6 * 2 ** 20, "0123456789");
  const standing = deferred<void>();
  const taken = deferred<Buffer>();
  await using _worker = await workerOf(hub, {
    run: async (job: SimulatedJob) => {
      await standing.promise;
      taken.resolve(await job.readAll("inputs"));
      await job.exit();
    },
  });
  await hub.submit({ files: [{ path: "a", base64: content.toString("base64") }] });
  await eventually(() => read.length === 3);
  await hub.submit({ priority: -1 });
  assert.deepEqual(read, [0, 1, 1], "the stream's window holds one part");
  standing.resolve();
  assert.ok((await taken.promise).equals(content));
  assert.deepEqual(read, [0, 1, 1, 2, 3, 4, 5]);
});

test("contents of files and stdin text reach the worker, artifacts come back", async () => {
  await using hub = await TestHub.start();
  const read = deferred<Buffer>();
  const binary = Buffer.from([0, 255, 10, 128]);
  await using _worker = await workerOf(hub, {
    run: async (job: SimulatedJob) => {
      read.resolve(await job.readAll("inputs"));
      job.started();
      await job.sendArtifact("out/a.bin", binary);
      await job.sendArtifact("empty", Buffer.alloc(0));
      await job.exit({
        artifacts: [
          { path: "out/a.bin", size: 4 },
          { path: "empty", size: 0 },
        ],
      });
    },
  });
  const { id } = await hub.submit({
    files: [
      { path: "a.txt", text: "äb" },
      { path: "b.bin", base64: binary.toString("base64") },
    ],
    stdin: "typed\n",
    artifacts: ["out/a.bin", "empty"],
  });
  assert.deepEqual(await read.promise, Buffer.concat([Buffer.from("äb"), binary, Buffer.from("typed\n")]));
  const ended = await hub.wait(id);
  assert.deepEqual(ended.result?.artifacts.map((entry) => entry.path).sort(), ["empty", "out/a.bin"]);
  const got = await fetch(`${hub.url}/v1/jobs/${id}/artifacts/out/a.bin`, {
    headers: { authorization: `Bearer ${hub.adminKey}` },
  });
  assert.equal(got.headers.get("content-length"), "4");
  assert.deepEqual(Buffer.from(await got.arrayBuffer()), binary);
  assert.equal((await hub.call(`/v1/jobs/${id}/artifacts/empty`)).text, "");
  const missing = await hub.call(`/v1/jobs/${id}/artifacts/nope`);
  assert.deepEqual([missing.status, missing.json.error.code], [404, "artifact_unknown"]);
});

test("an artifact the job did not ask for, or of another size than told, is refused", async () => {
  await using hub = await TestHub.start();
  const jobs = held();
  await using _worker = await workerOf(hub, { run: jobs.run });
  const { id } = await hub.submit({ artifacts: ["a"] });
  const job = await jobs.next();
  await assert.rejects(job.sendArtifact("b", Buffer.from("x")));
  await assert.rejects(job.sendArtifact("a", Buffer.from("xyz"), 2));
  await assert.rejects(job.sendArtifact("a", Buffer.from("x"), 2));
  await job.exit();
  assert.equal((await hub.call(`/v1/jobs/${id}/artifacts/a`)).status, 404);
});

test("an artifact that was not taken says why, and only those that were are known", async () => {
  await using hub = await TestHub.start();
  await using _worker = await workerOf(hub, {
    run: async (job: SimulatedJob) => {
      job.started();
      await job.sendArtifact("a", Buffer.from("x"));
      const error = { code: "file_refused", message: "it is a folder, only files are taken" };
      await job.exit({
        artifacts: [
          { path: "a", size: 1 },
          { path: "d", error },
        ],
      });
    },
  });
  const { id } = await hub.submit({ artifacts: ["a", "d"] });
  await hub.wait(id);
  const { status, json } = await hub.call(`/v1/jobs/${id}/artifacts/d`);
  assert.deepEqual([status, json.error.code], [404, "artifact_unknown"]);
  assert.equal(json.error.message, 'the job left no "d": it is a folder, only files are taken');
  assert.deepEqual(json.error.details["known"], ["a"]);
});

test("an exit with part of its output missing is a result that says so", async () => {
  await using hub = await TestHub.start();
  const jobs = held();
  await using worker = await workerOf(hub, { run: jobs.run });
  const { id } = await hub.submit();
  const job = await jobs.next();
  job.print("stdout", "kept");
  await job.flush();
  const kept = job.log.length;
  const outcome = job.outcome({ logEnd: kept + 100, missing: { from: kept, to: kept + 100 } });
  worker.send({ type: "lease.exit", ...job.lease, outcome });
  const ended = await hub.wait(id);
  assert.deepEqual(ended.result?.output.missing, { from: kept, to: kept + 100 });
  assert.equal((await hub.call(`/v1/jobs/${id}/stdout`)).text, "kept");
  assert.match((await hub.call(`/v1/jobs/${id}/events`)).text, /event: finished/);
});

test("when all is over the hub holds nothing of the jobs it served", async () => {
  await using hub = await TestHub.start();
  await using _worker = await workerOf(hub);
  const jobs = await Promise.all(Array.from({ length: 20 }, () => hub.submit()));
  await Promise.all(jobs.map(({ id }) => Promise.all([hub.wait(id), hub.call(`/v1/jobs/${id}/events`)])));
  const { text } = await hub.call("/metrics");
  assert.match(text, /^sallyport_held_jobs 0$/m);
  await eventually(async () => /^sallyport_watched_jobs 0$/m.test((await hub.call("/metrics")).text));
});

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { eventsOf, get, printed, printMuch, wholeStderr, wholeStdout } from "../helpers/hub-output.ts";
import { workerOf } from "../helpers/hub-workers.ts";
import { TestHub } from "../helpers/hub.ts";

test("raw output honours ranges and says what is outside", async () => {
  await using hub = await TestHub.start();
  await using _worker = await workerOf(hub, { run: printMuch });
  const { id } = await hub.submit();
  await hub.wait(id);
  const whole = await get(hub, `/v1/jobs/${id}/stdout`);
  assert.equal(whole.headers.get("content-type"), "application/octet-stream");
  assert.equal(whole.headers.get("accept-ranges"), "bytes");
  assert.equal(whole.headers.get("content-length"), String(wholeStdout.length));
  assert.deepEqual(Buffer.from(await whole.arrayBuffer()), wholeStdout);
  for (let from = 0; from < wholeStdout.length; from += 1) {
    const part = await get(hub, `/v1/jobs/${id}/stdout`, { range: `bytes=${from}-${from + 3}` });
    const to = Math.min(from + 4, wholeStdout.length);
    assert.equal(part.status, 206);
    assert.equal(part.headers.get("content-range"), `bytes ${from}-${to - 1}/${wholeStdout.length}`);
    assert.deepEqual(Buffer.from(await part.arrayBuffer()), wholeStdout.subarray(from, to));
  }
  const tail = await get(hub, `/v1/jobs/${id}/stderr`, { range: "bytes=-5" });
  assert.deepEqual(Buffer.from(await tail.arrayBuffer()), wholeStderr.subarray(-5));
  const outside = await get(hub, `/v1/jobs/${id}/stdout`, { range: "bytes=999-" });
  assert.equal(outside.status, 416);
  assert.equal(outside.headers.get("content-range"), `bytes */${wholeStdout.length}`);
  assert.equal(((await outside.json()) as { error: { code: string } }).error.code, "range_invalid");
  assert.equal((await get(hub, `/v1/jobs/${id}/stdout?attempt=2`)).status, 400);
});

test("following raw output starts before the job runs and ends with it", async () => {
  await using hub = await TestHub.start();
  await (await workerOf(hub, { run: printMuch }))[Symbol.asyncDispose]();
  const { id } = await hub.submit();
  const [stdout, stderr, rest] = await Promise.all([
    get(hub, `/v1/jobs/${id}/stdout?follow`),
    get(hub, `/v1/jobs/${id}/stderr?follow=true`),
    get(hub, `/v1/jobs/${id}/stdout?follow`, { range: "bytes=6-" }),
  ]);
  await using _worker = await workerOf(hub, { run: printMuch });
  assert.deepEqual(Buffer.from(await stdout.arrayBuffer()), wholeStdout);
  assert.deepEqual(Buffer.from(await stderr.arrayBuffer()), wholeStderr);
  assert.equal(rest.status, 206);
  assert.equal(rest.headers.get("content-range"), `bytes 6-${Number.MAX_SAFE_INTEGER}/*`);
  assert.deepEqual(Buffer.from(await rest.arrayBuffer()), wholeStdout.subarray(6));
});

test("a large random output arrives whole by every way there is", async () => {
  await using hub = await TestHub.start();
  const content = randomBytes(5_000_000);
  const digest = createHash("sha256").update(content).digest("hex");
  await using _worker = await workerOf(hub, {
    run: async (job) => {
      for (let at = 0; at < content.length; at += 50_001)
        await job.stream("stdout", content.subarray(at, at + 50_001));
      await job.exit();
    },
  });
  const { id } = await hub.submit();
  const [live, events] = await Promise.all([
    get(hub, `/v1/jobs/${id}/stdout?follow`).then((response) => response.arrayBuffer()),
    eventsOf(hub, id),
  ]);
  const stored = await get(hub, `/v1/jobs/${id}/stdout`).then((response) => response.arrayBuffer());
  for (const bytes of [Buffer.from(live), printed(events, "stdout"), Buffer.from(stored)]) {
    assert.equal(createHash("sha256").update(bytes).digest("hex"), digest);
  }
});

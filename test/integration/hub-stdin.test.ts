import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { deferred } from "../../src/async/index.ts";
import { SallyportError } from "../../src/errors.ts";
import { workerOf } from "../helpers/hub-workers.ts";
import { eventually, TestHub } from "../helpers/hub.ts";
import type { SimulatedJob } from "../helpers/simulated-worker.ts";

test("a program's stdin is fed as it reads, over several requests, until one ends it", async () => {
  await using hub = await TestHub.start();
  const read = deferred<Buffer>();
  await using _worker = await workerOf(hub, {
    run: async (job) => {
      read.resolve(await job.readAll("stdin"));
      await job.exit();
    },
  });
  const { id } = await hub.submit({ stdin: { stream: true } });
  const post = (body: string | Uint8Array<ArrayBuffer>, query = ""): ReturnType<TestHub["call"]> =>
    hub.call(`/v1/jobs/${id}/stdin${query}`, { method: "POST", body });
  const big = new Uint8Array(randomBytes(3_000_000));
  assert.equal((await post("one ", "?more=true")).status, 204);
  assert.equal((await post(big, "?more")).status, 204);
  assert.equal((await post("end")).status, 204);
  assert.deepEqual(await read.promise, Buffer.concat([Buffer.from("one "), big, Buffer.from("end")]));
  await hub.wait(id);
  const late = await post("x");
  assert.deepEqual([late.status, late.json.error.code], [409, "stdin_closed"]);
});

test("a worker that says it has all of stdin need not have granted it", async () => {
  await using hub = await TestHub.start();
  await using _worker = await workerOf(hub, {
    run: async (job) => {
      const stream = await job.incoming("stdin");
      for await (const _chunk of stream.chunks);
      stream.finish();
      await job.exit();
    },
  });
  const { id } = await hub.submit({ stdin: { stream: true } });
  const posted = await hub.call(`/v1/jobs/${id}/stdin`, { method: "POST", body: "all of it" });
  assert.equal(posted.status, 204);
  assert.equal((await hub.wait(id)).state, "succeeded");
});

test("stdin that nobody reads is refused: never asked for, closed by the program, or with the job", async () => {
  await using hub = await TestHub.start();
  const jobs: SimulatedJob[] = [];
  await using _worker = await workerOf(hub, { run: async (job) => void jobs.push(job) });
  const post = (id: string, body: string | Uint8Array<ArrayBuffer>): ReturnType<TestHub["call"]> =>
    hub.call(`/v1/jobs/${id}/stdin`, { method: "POST", body });
  const plain = await hub.submit();
  const refused = await post(plain.id, "x");
  assert.deepEqual([refused.status, refused.json.error.code], [409, "stdin_closed"]);
  assert.match(String(refused.json.error.details["fix"]), /stream/);
  await (await eventually(() => jobs.shift())).exit();

  const closing = await hub.submit({ stdin: { stream: true } });
  const job = await eventually(() => jobs.shift());
  const posted = post(closing.id, new Uint8Array(4 * 2 ** 20));
  const busy = await eventually(async () => {
    const reply = await post(closing.id, "y");
    return reply.json.error.code === "stdin_busy" ? reply : undefined;
  });
  assert.equal(busy.status, 409);
  (await job.incoming("stdin")).reset(new SallyportError("stdin_closed", "the program closed it"));
  const reply = await posted;
  assert.deepEqual([reply.status, reply.json.error.code], [409, "stdin_closed"]);
  await job.exit();

  const ending = await hub.submit({ stdin: { stream: true } });
  const last = await eventually(() => jobs.shift());
  const unread = post(ending.id, new Uint8Array(4 * 2 ** 20));
  await last.incoming("stdin");
  await last.exit();
  assert.equal((await unread).json.error.code, "stdin_closed");
});

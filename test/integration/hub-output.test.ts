import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { deferred } from "../../src/async/index.ts";
import { SallyportError } from "../../src/errors.ts";
import { keepBuffersShortLived } from "../../src/heap.ts";
import { bytesOf, eventually, sseEvents, TestHub, type SeenEvent } from "../helpers/hub.ts";
import { SimulatedWorker, type SimulatedJob } from "../helpers/simulated-worker.ts";

function workerOf(hub: TestHub, run: (job: SimulatedJob) => Promise<void>): Promise<SimulatedWorker> {
  return SimulatedWorker.start({ url: hub.url, token: hub.workerToken, run });
}

function get(
  hub: TestHub,
  path: string,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<Response> {
  const init = signal === undefined ? {} : { signal };
  return fetch(`${hub.url}${path}`, {
    ...init,
    headers: { authorization: `Bearer ${hub.adminKey}`, ...headers },
  });
}

function submitAndFollow(hub: TestHub): Promise<Response> {
  return fetch(`${hub.url}/v1/jobs`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${hub.adminKey}`,
      accept: "text/event-stream",
      "content-type": "application/json",
    },
    body: JSON.stringify({ profile: "shell", command: ["x"] }),
  });
}

async function eventsOf(hub: TestHub, id: string, lastEventId?: string): Promise<SeenEvent[]> {
  const headers: Record<string, string> = lastEventId === undefined ? {} : { "last-event-id": lastEventId };
  const response = await get(hub, `/v1/jobs/${id}/events`, headers);
  return response.status === 204 ? [] : await Array.fromAsync(sseEvents(response));
}

/** Its epoch hangs on whether the job was handed over with the commit that took it. */
const firstAttempt = /^1\.[12]:0$/;

const printed = (events: SeenEvent[], stream: string): Buffer =>
  Buffer.concat(events.filter((entry) => entry.event === stream).map(bytesOf));

/** Text, a character cut in two, bytes that are no text, and NUL, on both streams. */
async function printMuch(job: SimulatedJob): Promise<void> {
  job.started();
  job.print("stdout", "plain\n");
  job.print("stderr", "warning: ü\n");
  job.print("stdout", Buffer.from("é").subarray(0, 1));
  job.print("stdout", Buffer.from("é").subarray(1));
  job.print("stdout", Buffer.from([0, 1, 255, 254]));
  job.print("stderr", "data: x\n\nid: 9:9\n\nevent: finished\n\n");
  await job.exit({ exitCode: 3 });
}
const wholeStdout = Buffer.concat([Buffer.from("plain\né"), Buffer.from([0, 1, 255, 254])]);
const wholeStderr = Buffer.from("warning: ü\ndata: x\n\nid: 9:9\n\nevent: finished\n\n");

test("events come in order, byte-exact, and what a job prints cannot pose as one", async () => {
  await using hub = await TestHub.start();
  await using _worker = await workerOf(hub, printMuch);
  const { id } = await hub.submit();
  const events = await eventsOf(hub, id);
  assert.deepEqual(
    events.map((entry) => entry.event),
    ["queued", "leased", "started", "stdout", "stderr", "stdout", "stdout", "stdout", "stderr", "finished"],
  );
  assert.deepEqual(printed(events, "stdout"), wholeStdout);
  assert.deepEqual(printed(events, "stderr"), wholeStderr);
  assert.equal(events.at(-1)?.data.result.exitCode, 3);
  const offsets = events.filter((entry) => entry.event === "stdout").map((entry) => entry.data.offset);
  assert.deepEqual(offsets, [0, 6, 7, 8]);
  assert.equal(events[0]?.id, "0.0:0");
  assert.match(events[1]?.id ?? "", firstAttempt);
  assert.match(events.at(-1)?.id ?? "", /^1\.[12]:\d+:end$/);
});

test("resuming behind any event gives exactly the rest; behind the last there is nothing", async () => {
  await using hub = await TestHub.start();
  await using _worker = await workerOf(hub, printMuch);
  const { id } = await hub.submit();
  const all = await eventsOf(hub, id);
  for (const [at, event] of all.entries()) {
    assert.deepEqual(await eventsOf(hub, id, event.id), all.slice(at + 1), event.id);
  }
  assert.equal((await get(hub, `/v1/jobs/${id}/events?lastEventId=${all.at(-1)?.id}`)).status, 204);
  assert.equal((await get(hub, `/v1/jobs/${id}/events`, { "last-event-id": "junk" })).status, 400);
});

test("an id of a grant that was never recorded leads to all of the attempt that has its number", async () => {
  await using hub = await TestHub.start();
  await using _worker = await workerOf(hub, printMuch);
  const { id } = await hub.submit();
  const all = await eventsOf(hub, id);
  assert.deepEqual(await eventsOf(hub, id, "1.7:90"), all.slice(1));
  const behind = await eventsOf(hub, id, "2.2:0");
  assert.deepEqual(
    behind.map(({ event }) => event),
    ["finished"],
  );
});

test("what is printed is read before the store has taken the lease and the output", async () => {
  const disk = deferred<void>();
  await using hub = await TestHub.start({
    wrapStore: (store) => ({
      ...store,
      leases: {
        ...store.leases,
        accept: async (...args) => {
          await disk.promise;
          return await store.leases.accept(...args);
        },
      },
      check: () => store.check(),
      prune: (before) => store.prune(before),
      [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
    }),
  });
  await using _worker = await workerOf(hub, printMuch);
  const seen: SeenEvent[] = [];
  for await (const event of sseEvents(await submitAndFollow(hub))) {
    seen.push(event);
    if (printed(seen, "stderr").equals(wholeStderr)) disk.resolve();
  }
  assert.deepEqual(printed(seen, "stdout"), wholeStdout);
  const leased = seen.filter(({ event }) => event === "leased").map(({ id }) => id ?? "");
  assert.equal(leased.length, 1);
  assert.match(leased[0] ?? "", firstAttempt);
});

test("a submission can be answered by its own events, live", async () => {
  await using hub = await TestHub.start();
  const printMore = deferred<void>();
  await using _worker = await workerOf(hub, async (job) => {
    job.started();
    job.print("stdout", "first");
    await printMore.promise;
    job.print("stdout", "second");
    await job.exit();
  });
  const response = await submitAndFollow(hub);
  assert.equal(response.status, 200);
  const id = response.headers.get("x-job-id");
  assert.equal(response.headers.get("location"), `/v1/jobs/${id}`);
  assert.notEqual(response.headers.get("x-request-id"), null);
  const seen: string[] = [];
  for await (const event of sseEvents(response)) {
    seen.push(event.event === "stdout" ? bytesOf(event).toString() : event.event);
    if (seen.at(-1) === "first") printMore.resolve();
  }
  assert.deepEqual(seen, ["queued", "leased", "started", "first", "second", "finished"]);
});

test("raw output honours ranges and says what is outside", async () => {
  await using hub = await TestHub.start();
  await using _worker = await workerOf(hub, printMuch);
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
  await (await workerOf(hub, printMuch))[Symbol.asyncDispose]();
  const { id } = await hub.submit();
  const [stdout, stderr, rest] = await Promise.all([
    get(hub, `/v1/jobs/${id}/stdout?follow`),
    get(hub, `/v1/jobs/${id}/stderr?follow=true`),
    get(hub, `/v1/jobs/${id}/stdout?follow`, { range: "bytes=6-" }),
  ]);
  await using _worker = await workerOf(hub, printMuch);
  assert.deepEqual(Buffer.from(await stdout.arrayBuffer()), wholeStdout);
  assert.deepEqual(Buffer.from(await stderr.arrayBuffer()), wholeStderr);
  assert.equal(rest.status, 206);
  assert.deepEqual(Buffer.from(await rest.arrayBuffer()), wholeStdout.subarray(6));
});

test("a large random output arrives whole by every way there is", async () => {
  await using hub = await TestHub.start();
  const content = randomBytes(5_000_000);
  const digest = createHash("sha256").update(content).digest("hex");
  await using _worker = await workerOf(hub, async (job) => {
    for (let at = 0; at < content.length; at += 50_001)
      await job.stream("stdout", content.subarray(at, at + 50_001));
    await job.exit();
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

test("a reader that does not read neither stalls the job and other readers nor makes the hub keep output for it", async () => {
  keepBuffersShortLived();
  await using hub = await TestHub.start();
  const total = 160 * 2 ** 20;
  const block = randomBytes(2 ** 16);
  await using _worker = await workerOf(hub, async (job) => {
    for (let sent = 0; sent < total; sent += block.length) await job.stream("stdout", block);
    await job.exit();
  });
  const stop = new AbortController();
  const { id } = await hub.submit();
  const stuck = [
    await get(hub, `/v1/jobs/${id}/events`, {}, stop.signal),
    await get(hub, `/v1/jobs/${id}/stdout?follow`, {}, stop.signal),
  ];
  const before = process.memoryUsage();
  let most = 0;
  const watch = setInterval(() => {
    const now = process.memoryUsage();
    most = Math.max(most, now.external + now.heapUsed - before.external - before.heapUsed);
  }, 20);
  const ended = await hub.wait(id, "60s");
  clearInterval(watch);
  assert.equal(ended.state, "succeeded");
  assert.equal(ended.result?.output.stdoutBytes, total);
  assert.ok(most < 64 * 2 ** 20, `${most} bytes more`);
  stop.abort();
  await Promise.allSettled(stuck.map((response) => response.text()));
});

test("a hub restarted in the middle of the output goes on where it was, and nothing is lost or doubled", async () => {
  await using first = await TestHub.start();
  const resume = deferred<void>();
  const held = deferred<SimulatedJob>();
  await using worker = await workerOf(first, async (job) => {
    job.started();
    job.print("stdout", "before ");
    held.resolve(job);
    await resume.promise;
    job.print("stdout", "after");
  });
  const { id } = await first.submit();
  const job = await held.promise;
  const response = await get(first, `/v1/jobs/${id}/events`);
  let last = "";
  for await (const event of sseEvents(response)) {
    last = event.id;
    if (event.event === "stdout") break;
  }
  await first.stop();
  job.print("stdout", "during ");
  await using second = await TestHub.start({ dir: first.dir });
  const welcome = await worker.connect(second.url);
  assert.deepEqual(
    welcome.verdicts.map(({ lease, verdict }) => [lease, verdict]),
    [[id, "continue"]],
  );
  resume.resolve();
  const rest = eventsOf(second, id, last);
  await eventually(() => job.log.includes("after"));
  await job.exit();
  const ended = await second.wait(id);
  assert.equal(ended.state, "succeeded");
  assert.equal(ended.attempts.length, 1);
  assert.equal((await second.call(`/v1/jobs/${id}/stdout`)).text, "before during after");
  assert.equal(printed(await rest, "stdout").toString(), "during after");
});

test("a channel cut again and again while a job prints loses and doubles nothing", async () => {
  await using hub = await TestHub.start();
  const held = deferred<SimulatedJob>();
  await using worker = await workerOf(hub, async (job) => held.resolve(job));
  const { id } = await hub.submit();
  const job = await held.promise;
  job.started();
  const events = eventsOf(hub, id);
  const content = randomBytes(1_500_000);
  for (let at = 0, piece = 1; at < content.length; at += piece) {
    piece = 1 + Math.floor(Math.random() * 60_000);
    job.print("stdout", content.subarray(at, at + piece));
    if (piece % 3 !== 0) continue;
    if (piece % 2 === 0) await eventually(() => job.acked > job.log.length / 2);
    worker.vanish();
    await worker.connect();
  }
  assert.equal(await job.exit(), "recorded");
  const seen = await events;
  assert.ok(printed(seen, "stdout").equals(content));
  const stored = await get(hub, `/v1/jobs/${id}/stdout`);
  assert.ok(Buffer.from(await stored.arrayBuffer()).equals(content));
  assert.equal((await hub.wait(id)).attempts.length, 1);
});

test("a reader follows a job across its attempts", async () => {
  await using hub = await TestHub.start({ intervals: { leaseMs: 300, heartbeatMs: 50 } });
  const lost = await workerOf(hub, async (job) => {
    job.started();
    job.print("stdout", "one");
  });
  const { id } = await hub.submit({ retry: { maxAttempts: 2 } });
  const events = eventsOf(hub, id);
  const raw = get(hub, `/v1/jobs/${id}/stdout?follow`).then((response) => response.text());
  await eventually(async () => (await hub.call(`/v1/jobs/${id}/stdout`)).text === "one");
  lost.vanish();
  await using _next = await SimulatedWorker.start({
    url: hub.url,
    token: hub.workerToken,
    workerId: "worker-2",
    run: async (job) => {
      job.started();
      job.print("stdout", "two");
      await job.exit();
    },
  });
  const seen = await events;
  assert.deepEqual(
    seen.map((entry) => entry.event),
    ["queued", "leased", "started", "stdout", "leased", "started", "stdout", "finished"],
  );
  const printed = seen.filter((entry) => entry.event === "stdout");
  const places = printed.map(({ id: place }) => place.split(/[.:]/).map(Number));
  assert.deepEqual(
    printed.map(({ data }, at) => [places[at]?.[0], data.offset]),
    [
      [1, 0],
      [2, 0],
    ],
  );
  // which of its offers a worker took decides about the numbers
  assert.ok(Number(places[1]?.[1]) > Number(places[0]?.[1]), "a later epoch");
  assert.equal(await raw, "onetwo");
  assert.equal((await hub.call(`/v1/jobs/${id}/stdout?attempt=1`)).text, "one");
  for (const [at, event] of seen.entries())
    assert.deepEqual(await eventsOf(hub, id, event.id), seen.slice(at + 1));
});

test("a program's stdin is fed as it reads, over several requests, until one ends it", async () => {
  await using hub = await TestHub.start();
  const read = deferred<Buffer>();
  await using _worker = await workerOf(hub, async (job) => {
    read.resolve(await job.readAll("stdin"));
    await job.exit();
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

test("stdin that nobody reads is refused: never asked for, closed by the program, or with the job", async () => {
  await using hub = await TestHub.start();
  const jobs: SimulatedJob[] = [];
  await using _worker = await workerOf(hub, async (job) => void jobs.push(job));
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

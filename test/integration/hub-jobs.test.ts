import assert from "node:assert/strict";
import { test } from "node:test";
import { deferred } from "../../src/async/index.ts";
import { jobResultSchema } from "../../src/protocol/index.ts";
import { eventually, TestHub } from "../helpers/hub.ts";
import { profileOffer, SimulatedWorker, type SimulatedJob } from "../helpers/simulated-worker.ts";

function workerOf(hub: TestHub, over: object = {}): Promise<SimulatedWorker> {
  return SimulatedWorker.start({ url: hub.url, token: hub.workerToken, ...over });
}

/** A worker whose jobs wait for the test. */
function held(): { run: (job: SimulatedJob) => Promise<void>; next: () => Promise<SimulatedJob> } {
  const jobs: SimulatedJob[] = [];
  return {
    run: async (job) => {
      jobs.push(job);
    },
    next: () => eventually(() => jobs.shift()),
  };
}

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

test("the same idempotency key gives the same job, another body under it is refused", async () => {
  await using hub = await TestHub.start();
  await using _worker = await workerOf(hub);
  const post = (command: string[]): ReturnType<TestHub["call"]> =>
    hub.call("/v1/jobs", {
      method: "POST",
      headers: { "idempotency-key": "k-1" },
      json: { profile: "shell", command },
    });
  const first = await post(["true"]);
  const again = await post(["true"]);
  const other = await post(["false"]);
  assert.deepEqual([first.status, again.status, other.status], [201, 200, 409]);
  assert.equal(again.headers.get("idempotent-replayed"), "true");
  assert.equal(first.headers.get("location"), `/v1/jobs/${first.json.id}`);
  assert.equal(again.json.id, first.json.id);
  assert.equal(other.json.error.code, "idempotency_mismatch");
});

const shell = { profile: "shell", command: ["true"] };
const wrong: [name: string, body: unknown, code: string, field: string][] = [
  ["an unknown key", { ...shell, imge: "x" }, "request_invalid", "imge"],
  ["neither command nor code", { profile: "shell" }, "request_invalid", "command"],
  ["both command and code", { ...shell, code: "1" }, "request_invalid", "command"],
  ["a NUL in an argument", { profile: "shell", command: ["a\0"] }, "request_invalid", "command[0]"],
  [
    "a path that leaves the workspace",
    { ...shell, files: [{ path: "../x", text: "" }] },
    "request_invalid",
    "files[0].path",
  ],
  ["a timeout that is none", { ...shell, timeout: "soon" }, "request_invalid", "timeout"],
  ["a timeout above the profile's", { ...shell, timeout: "1h" }, "limit_exceeds_profile", "timeout"],
  ["an unknown language", { profile: "python", code: "1", language: "perl" }, "language_unknown", "language"],
  ["a profile nobody offers", { ...shell, profile: "nope" }, "profile_unknown", "profile"],
  ["a profile no worker can serve", { ...shell, profile: "broken" }, "profile_unusable", "profile"],
  ["an MCP host without a route", { ...shell, mcp: [{ host: "docs" }] }, "route_unknown", "mcp[0].host"],
];

test("a job for a profile that is only being prepared waits until it is, and is refused once it cannot be", async () => {
  await using hub = await TestHub.start();
  const being = (code: string): ReturnType<typeof profileOffer> =>
    profileOffer("slow", { unusable: { code, message: "told by the worker" } });
  await using worker = await workerOf(hub, { profiles: [being("profile_preparing")] });
  const { id } = await hub.submit({ profile: "slow" });
  assert.equal((await hub.wait(id, "50ms")).state, "queued");
  worker.send({ type: "profiles", profiles: [profileOffer("slow")] });
  assert.equal((await hub.wait(id)).state, "succeeded");
  worker.send({ type: "profiles", profiles: [being("image_unavailable")] });
  await eventually(async () => {
    const reply = await hub.call("/v1/jobs", { method: "POST", json: { ...shell, profile: "slow" } });
    return reply.json.error?.code === "profile_unusable";
  });
});

test("a wrong request is refused with the field and the reason, and nothing is kept", async (t) => {
  await using hub = await TestHub.start();
  const unusable = { code: "image_unavailable", message: "no such image: sallyport/broken" };
  await using _worker = await workerOf(hub, {
    profiles: [profileOffer("shell"), profileOffer("python"), profileOffer("broken", { unusable })],
  });
  for (const [name, body, code, field] of wrong) {
    await t.test(name, async () => {
      const reply = await hub.call("/v1/jobs", { method: "POST", json: body });
      assert.equal(reply.json.error.code, code, reply.text);
      assert.equal(reply.json.error.details["field"], field);
      assert.ok(reply.status >= 400 && reply.status < 504);
    });
  }
  await t.test("the unusable profile's reason is passed on", async () => {
    const reply = await hub.call("/v1/jobs", { method: "POST", json: { ...shell, profile: "broken" } });
    assert.match(reply.json.error.message, /no such image/);
  });
  await t.test("what is known is told", async () => {
    const reply = await hub.call("/v1/jobs", { method: "POST", json: { ...shell, profile: "nope" } });
    assert.deepEqual(reply.json.error.details["known"], ["broken", "python", "shell"]);
  });
  assert.deepEqual((await hub.call("/v1/jobs")).json, { jobs: [], next: null });
});

test("bodies that are no JSON, of another type, or too large are refused by code", async () => {
  await using hub = await TestHub.start();
  const post = (body: string | Uint8Array<ArrayBuffer>, type: string): ReturnType<TestHub["call"]> =>
    hub.call("/v1/jobs", { method: "POST", body, headers: { "content-type": type } });
  const replies = await Promise.all([
    post("{", "application/json"),
    post("{}", "text/plain"),
    post(new Uint8Array([0x22, 0xff, 0x22]), "application/json"),
    post(new Uint8Array(97 * 2 ** 20), "application/json").catch(() => null),
  ]);
  assert.deepEqual(replies.map((reply) => reply && [reply.status, reply.json.error.code]).slice(0, 3), [
    [400, "request_invalid"],
    [415, "media_type_unsupported"],
    [400, "request_invalid"],
  ]);
  if (replies[3]) assert.equal(replies[3].json.error.code, "body_too_large");
});

test("unknown jobs, paths and query keys are told apart", async () => {
  await using hub = await TestHub.start();
  const unknown = await hub.call("/v1/jobs/job_00000000000000000000000000");
  assert.deepEqual([unknown.status, unknown.json.error.code], [404, "job_unknown"]);
  const malformed = await hub.call("/v1/jobs/%2e%2e");
  assert.equal(malformed.status, 404);
  const path = await hub.call("/v2/jobs");
  assert.deepEqual([path.status, path.json.error.code], [404, "path_unknown"]);
  const query = await hub.call("/v1/jobs?colour=red");
  assert.deepEqual([query.status, query.json.error.details["field"]], [400, "colour"]);
  const url = await hub.call("/v1/jobs/%zz");
  assert.equal(url.status, 400);
  assert.equal(url.json.error.code, "request_invalid");
});

test("jobs are listed newest first, page by page, by state and profile", async () => {
  await using hub = await TestHub.start();
  await using _worker = await workerOf(hub);
  const ids: string[] = [];
  for (let count = 0; count < 5; count += 1) ids.push((await hub.submit()).id);
  for (const id of ids) await hub.wait(id);
  const seen: string[] = [];
  let cursor = "";
  do {
    const page = (await hub.call(`/v1/jobs?limit=2&state=succeeded${cursor}`)).json as unknown as {
      jobs: { id: string }[];
      next: string | null;
    };
    seen.push(...page.jobs.map((job) => job.id));
    cursor = page.next === null ? "" : `&cursor=${encodeURIComponent(page.next)}`;
  } while (cursor !== "");
  assert.deepEqual(seen, ids.toReversed());
  assert.deepEqual((await hub.call("/v1/jobs?profile=python")).json, { jobs: [], next: null });
});

test("a queued job that is cancelled never runs", async () => {
  await using hub = await TestHub.start();
  await (await workerOf(hub))[Symbol.asyncDispose]();
  const job = await hub.submit();
  const cancelled = await hub.call(`/v1/jobs/${job.id}/cancel`, { method: "POST" });
  assert.equal(cancelled.status, 202);
  await using worker = await workerOf(hub);
  assert.equal((await hub.wait(job.id)).state, "cancelled");
  const next = await hub.submit();
  await hub.wait(next.id);
  assert.deepEqual(
    worker.of("offer").map((offer) => offer.lease),
    [next.id],
  );
});

test("a running job is cancelled by push; cancelling twice or too late changes nothing", async () => {
  await using hub = await TestHub.start();
  const jobs = held();
  await using worker = await workerOf(hub, { run: jobs.run });
  const { id } = await hub.submit();
  const job = await jobs.next();
  job.started();
  const cancel = (): ReturnType<TestHub["call"]> => hub.call(`/v1/jobs/${id}/cancel`, { method: "POST" });
  assert.equal((await cancel()).status, 202);
  assert.equal(await job.cancelled.promise, "cancelled");
  assert.equal((await cancel()).status, 202);
  assert.equal((await hub.wait(id, "10ms")).cancelRequested, true);
  await job.exit({ reason: "cancelled", exitCode: null });
  assert.equal((await hub.wait(id)).state, "cancelled");
  const late = await cancel();
  assert.equal(late.status, 200);
  assert.equal(late.json.state, "cancelled");
  assert.ok(worker.of("lease.cancel").length >= 1);
});

test("a cancel that loses the race leaves the true result", async () => {
  await using hub = await TestHub.start();
  const jobs = held();
  await using _worker = await workerOf(hub, { run: jobs.run });
  const { id } = await hub.submit();
  const job = await jobs.next();
  job.started();
  await hub.call(`/v1/jobs/${id}/cancel`, { method: "POST" });
  await job.exit({ exitCode: 0 });
  assert.equal((await hub.wait(id)).state, "succeeded");
});

test("a pending cancel comes with every heartbeat until the job ends", async () => {
  await using hub = await TestHub.start({ intervals: { heartbeatMs: 20 } });
  const jobs = held();
  await using worker = await workerOf(hub, { run: jobs.run });
  const { id } = await hub.submit();
  const job = await jobs.next();
  await hub.call(`/v1/jobs/${id}/cancel`, { method: "POST" });
  await eventually(() =>
    worker.of("heartbeat.ack").some((ack) => ack.cancelled.some((ref) => ref.lease === id)),
  );
  await job.exit({ reason: "cancelled", exitCode: null });
  assert.equal((await hub.wait(id)).state, "cancelled");
});

test("a job over its deadline is stopped by the hub as well", async () => {
  await using hub = await TestHub.start({ intervals: { graceMs: 50, leaseMs: 400 } });
  const jobs = held();
  await using _worker = await workerOf(hub, { run: jobs.run });
  await hub.submit({ timeout: "50ms" });
  const job = await jobs.next();
  job.started();
  assert.equal(await job.cancelled.promise, "timeout");
  await job.exit({ reason: "timeout", exitCode: null });
});

test("waiting for a job ends with the time named, and takes at most a minute", async () => {
  await using hub = await TestHub.start();
  await (await workerOf(hub))[Symbol.asyncDispose]();
  const job = await hub.submit();
  assert.equal((await hub.wait(job.id, "20ms")).state, "queued");
  const tooLong = await hub.call(`/v1/jobs/${job.id}?wait=61s`);
  assert.deepEqual([tooLong.status, tooLong.json.error.details["field"]], [400, "wait"]);
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

test("a full queue refuses, and takes jobs again once there is room", async () => {
  await using hub = await TestHub.start({ queueCap: 2 });
  await (await workerOf(hub))[Symbol.asyncDispose]();
  await hub.submit();
  await hub.submit();
  const refused = await hub.call("/v1/jobs", { method: "POST", json: shell });
  assert.deepEqual([refused.status, refused.json.error.code], [429, "queue_full"]);
  await using _worker = await workerOf(hub);
  await eventually(async () => {
    const reply = await hub.call("/v1/jobs", { method: "POST", json: shell });
    return reply.status === 201;
  });
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

import assert from "node:assert/strict";
import { test } from "node:test";
import { held, workerOf } from "../helpers/hub-workers.ts";
import { eventually, TestHub } from "../helpers/hub.ts";
import { profileOffer } from "../helpers/simulated-worker.ts";

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

test("a body of very many parts is refused before it is taken apart, one of long texts is not", async () => {
  await using hub = await TestHub.start();
  await using _worker = await workerOf(hub);
  const many = Object.fromEntries(Array.from({ length: 60_000 }, (_, index) => [`k${index}`, ""]));
  const text = '"[{,:\\'.repeat(60_000);
  for (const body of [
    { ...shell, env: many },
    { ...shell, files: Array.from({ length: 120_000 }, () => 1) },
  ]) {
    const refused = await hub.call("/v1/jobs", { method: "POST", json: body });
    assert.deepEqual([refused.status, refused.json.error.code], [400, "request_invalid"]);
    assert.equal(refused.json.error.message, "body: more than 100000 parts");
  }
  const taken = await hub.call("/v1/jobs", {
    method: "POST",
    json: { ...shell, files: [{ path: "a", text }] },
  });
  assert.equal(taken.status, 201);
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
  const long = await hub.call(`/v1/jobs/${"a".repeat(10_000)}`);
  assert.equal(long.json.error.code, "request_invalid");
  assert.ok(long.text.length < 500, "what was sent is not sent back");
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

test("jobs that are followed leave the room their bodies took to the next", async () => {
  await using hub = await TestHub.start();
  await using _worker = await workerOf(hub, { run: held().run });
  const text = "x".repeat(100_000);
  // of unknown length, so that two fill a tenant's room
  const post = (accept: string): Promise<Response> =>
    fetch(`${hub.url}/v1/jobs`, {
      method: "POST",
      headers: { accept, authorization: `Bearer ${hub.adminKey}`, "content-type": "application/json" },
      body: new Blob([JSON.stringify({ ...shell, files: [{ path: "a", text }] })]).stream(),
      duplex: "half",
    });
  const followed = [await post("text/event-stream"), await post("text/event-stream")];
  const next = await post("application/json");
  assert.deepEqual(
    [...followed, next].map(({ status }) => status),
    [200, 200, 201],
  );
  for (const { body } of followed) await body?.cancel();
});

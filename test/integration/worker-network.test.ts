/** How a job gets its network and loses it, against a simulated hub, the fake driver and a network that only takes notes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SallyportError } from "../../src/errors.ts";
import type { JobSpec } from "../../src/protocol/index.ts";
import { call, fakeNetwork, testDomain } from "../helpers/fake-network.ts";
import { run, startRig, testProfile, type Rig } from "../helpers/simulated-hub.ts";

const netted = (over: Record<string, unknown> = {}): ReturnType<typeof testProfile> =>
  testProfile("fast", { network: { mcp: [{ host: "*", tools: ["search", "fetch"] }] }, ...over });
const docs = `docs.${testDomain}`;
const mcp: JobSpec["mcp"] = [{ host: "docs", tools: ["search", "drop"], maxCalls: 3 }];
const events = (text: string): Record<string, unknown>[] =>
  text
    .replaceAll("}{", "}\n{")
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

async function sandboxHolds(rig: Rig, path: string): Promise<string> {
  const [sandbox] = rig.driver.engine.sandboxes.values();
  assert.ok(sandbox);
  return Buffer.concat(await Array.fromAsync(sandbox.guest.files.get(path, 1_000))).toString();
}

test("a job's grants reach the network resolved and within the ceiling, before its command starts; its end cuts it", async () => {
  const network = fakeNetwork("docs");
  await using rig = await startRig({ profiles: [netted()], network });
  const job = rig.hub.offer({ spec: { ...run("cat"), stdin: { mode: "stream" }, mcp } });
  await rig.hub.until(() => job.started.length === 1, "the start");
  const [attached] = network.attached;
  assert.deepEqual(attached?.[2], [{ host: docs, tools: ["search"], maxCalls: 3 }]);
  assert.equal(attached?.[1].job, job.ref.lease);
  assert.equal(attached?.[1].profile, "fast");
  assert.equal(await sandboxHolds(rig, "/run/sallyport/ca.crt"), "CERTIFICATE");
  assert.equal(network.live, 1);
  attached?.[3](call());
  attached?.[3](call({ tool: "drop", decision: "deny", reason: "tool_not_allowed", outcome: null }));
  rig.hub.say({ type: "lease.cancel", ...job.ref, reason: "cancelled", graceMs: 0 });
  const outcome = await job.finished;
  assert.deepEqual([network.live, outcome.calls, outcome.error], [0, 1, null]);
  const [started, first, second] = events(job.printed("event").toString());
  assert.deepEqual(started, { event: "started" });
  assert.deepEqual(first, {
    event: "call",
    requestId: "r1",
    host: docs,
    tool: "search",
    decision: "allow",
    reason: "granted",
    outcome: "answered",
    ms: 1.3,
  });
  assert.deepEqual([second?.["decision"], second?.["reason"]], ["deny", "tool_not_allowed"]);
});

test("a job without grants attaches nothing, warm or cold", async () => {
  const network = fakeNetwork("docs");
  const profiles = [netted({ languages: {}, pool: { warm: 1, maxAge: "10m" } })];
  await using rig = await startRig({ profiles, network });
  await rig.hub.until(() => rig.driver.engine.sandboxes.size === 1, "one to be made ahead");
  await rig.hub.offer({ spec: run("true") }).finished;
  assert.deepEqual(network.attached, []);
});

test("a job that is granted a name takes a warm sandbox that knows it", async () => {
  const network = fakeNetwork("docs", "wiki");
  const profiles = [netted({ languages: {}, pool: { warm: 1, maxAge: "10m" } })];
  await using rig = await startRig({ profiles, network });
  const warm = (): boolean =>
    rig.hub.messages.some((message) => message.type === "heartbeat" && message.warm["fast"] === 1);
  await rig.hub.until(warm, "one to wait");
  const outcome = await rig.hub.offer({ spec: { ...run("true"), mcp } }).finished;
  assert.deepEqual([outcome.reason, outcome.timings.warm, network.attached.length], ["exited", true, 1]);
});

test("an unknown route, a host above the ceiling and a network that fails: the command never starts", async () => {
  const network = fakeNetwork("docs");
  await using rig = await startRig({ profiles: [netted(), testProfile("shut")], network });
  const ends = async (spec: Partial<JobSpec>): Promise<unknown[]> => {
    const { reason, error } = await rig.hub.offer({ spec: { ...run("true"), ...spec } }).finished;
    return [reason, error?.code];
  };
  assert.deepEqual(await ends({ mcp: [{ host: "nowhere" }] }), ["never_started", "route_unknown"]);
  assert.deepEqual(await ends({ mcp, profile: "shut" }), ["never_started", "host_not_allowed"]);
  network.fault = () => Promise.reject(new SallyportError("capacity_exhausted", "port 443 is taken"));
  assert.deepEqual(await ends({ mcp }), ["never_started", "capacity_exhausted"]);
  network.fault = undefined;
  assert.deepEqual(await ends({ mcp }), ["exited", undefined]);
});

test("a network that never answers costs the job its start and the worker nothing", async () => {
  const network = fakeNetwork("docs");
  network.fault = () => new Promise(() => undefined);
  await using rig = await startRig({ profiles: [netted()], network, times: { startMs: 50, settleMs: 50 } });
  const { reason, error } = await rig.hub.offer({ spec: { ...run("true"), mcp } }).finished;
  assert.deepEqual([reason, error?.code], ["never_started", "deadline_exceeded"]);
  await rig.hub.until(() => rig.driver.engine.sandboxes.size === 0, "the sandbox to go");
});

test("calls above the bound of the log are counted, not told", async () => {
  const network = fakeNetwork("docs");
  await using rig = await startRig({ profiles: [netted()], network });
  const job = rig.hub.offer({ spec: { ...run("cat"), stdin: { mode: "stream" }, mcp } });
  await rig.hub.until(() => job.started.length === 1, "the start");
  for (let turn = 0; turn < 1_500; turn += 1) network.attached[0]?.[3](call({ tool: "t".repeat(1_000) }));
  rig.hub.say({ type: "lease.cancel", ...job.ref, reason: "cancelled", graceMs: 0 });
  const { calls } = await job.finished;
  const told = events(job.printed("event").toString()).filter(({ event }) => event === "call");
  assert.deepEqual([calls, told.length, String(told[0]?.["tool"]).length], [1_500, 1_000, 128]);
});

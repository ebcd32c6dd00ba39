import assert from "node:assert/strict";
import { test } from "node:test";
import { isError, SallyportError } from "../../../../src/errors.ts";
import { Engine } from "../../../../src/sandbox/docker/engine.ts";
import { callMs, engineCall, engineError } from "../../../../src/sandbox/docker/errors.ts";
import { labelsOf, ownerFilter, readLabels } from "../../../../src/sandbox/docker/labels.ts";
import { judge, promises } from "../../../../src/sandbox/docker/probe-checks.ts";
import { probeProfile } from "../../../../src/sandbox/docker/probe-profile.ts";
import { orphans } from "../../../../src/sandbox/docker/reaper.ts";

const refusal = (statusCode: number): Error => Object.assign(new Error("said so"), { statusCode });
const socketError = (code: string): Error => Object.assign(new Error(code), { code });

test("labels survive the way through an engine", () => {
  const values = { worker: "w", boot: "b", lease: "l", profile: "p", createdAt: 1_700_000_000_000 };
  assert.deepEqual(readLabels("id", labelsOf(values), 5), { id: "id", ...values });
});

test("a creation label that is no time falls back to the engine's", () => {
  for (const created of ["", "soon", "-1", "1e400"]) {
    assert.equal(readLabels("id", { "dev.sallyport.created": created }, 5).createdAt, 5);
  }
});

test("the filter always names the worker", () => {
  assert.deepEqual(ownerFilter({ worker: "w" }), ["dev.sallyport.worker=w"]);
  assert.deepEqual(ownerFilter({ worker: "w", boot: "b" }), [
    "dev.sallyport.worker=w",
    "dev.sallyport.boot=b",
  ]);
});

test("engine failures become coded errors with a fix", () => {
  const cases = [
    ["info", socketError("ENOENT"), "engine_unavailable"],
    ["info", socketError("ECONNREFUSED"), "engine_unavailable"],
    ["info", socketError("EACCES"), "engine_unavailable"],
    ["start", socketError("EPIPE"), "engine_unavailable"],
    ["create", refusal(400), "profile_unusable"],
    ["create", refusal(404), "image_unavailable"],
    ["create", refusal(409), "engine_failed"],
    ["start", refusal(404), "sandbox_lost"],
    ["start", refusal(500), "engine_failed"],
    ["image", refusal(404), "image_unavailable"],
    ["stats", refusal(404), "sandbox_lost"],
    ["list", new Error("odd"), "engine_failed"],
  ] as const;
  for (const [operation, error, code] of cases) {
    const translated = engineError({ operation, subject: "thing" }, error);
    assert.equal(translated.code, code, `${operation} ${error.message}`);
    assert.match(translated.message, /thing/);
    assert.ok(typeof translated.details["fix"] === "string");
  }
});

test("an error of ours passes through unchanged", () => {
  const error = new SallyportError("cancelled", "stop");
  assert.equal(engineError({ operation: "start", subject: "x" }, error), error);
});

test("an engine that never answers is unavailable, once its time is over", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const call = engineCall({ operation: "start", subject: "it" }, new Promise<never>(() => undefined));
  t.mock.timers.tick(callMs);
  await assert.rejects(call, {
    code: "engine_unavailable",
    message: /^start it: the engine does not answer/,
  });
});

test("an engine address that is none is refused by name", () => {
  for (const dockerHost of ["", "docker.sock", "ssh://host", "http://x:1", "unix://"]) {
    assert.throws(
      () => new Engine(dockerHost),
      (error) => isError(error, "config_invalid") && error.message.startsWith("DOCKER_HOST: "),
      dockerHost,
    );
  }
});

test("an orphan is not live and older than the grace", () => {
  const made = (id: string, createdAt: number) => ({
    id,
    worker: "w",
    boot: "b",
    lease: "l",
    profile: "p",
    createdAt,
  });
  const found = [made("live", 0), made("young", 95), made("old", 90), made("older", 1)];
  const left = orphans(found, { live: new Set(["live"]), now: 100, graceMs: 10 });
  assert.deepEqual(
    left.map(({ id }) => id),
    ["old", "older"],
  );
});

test("nothing seen proves nothing: every promise fails with a fix", () => {
  const checks = judge(probeProfile("runc"), new Map());
  assert.equal(checks.length, promises.length);
  for (const check of checks) {
    assert.equal(check.ok, false, check.id);
    assert.ok(check.fix !== undefined && check.evidence.includes("not seen"), check.id);
  }
});

test("one wrong sighting fails one check and is its evidence", () => {
  const seen = new Map([
    ["interfaces", "lo eth0"],
    ["socket.inet", "ok"],
    ["bind.443", "ok"],
  ]);
  const check = judge(probeProfile("runc"), seen).find(({ id }) => id === "network");
  assert.deepEqual([check?.ok, check?.evidence], [false, "interfaces: lo eth0"]);
});

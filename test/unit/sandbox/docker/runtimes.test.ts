import assert from "node:assert/strict";
import { test } from "node:test";
import { isError, SallyportError } from "../../../../src/errors.ts";
import { Runtimes } from "../../../../src/sandbox/docker/runtimes.ts";
import { refusalMs } from "../../../../src/sandbox/docker/verdicts.ts";

const engine = {
  readFacts: async () => ({
    name: "",
    version: "",
    runtimes: ["runc", "runsc"],
    cpus: 1,
    memoryBytes: 2 ** 30,
    described: {},
    warnings: [],
  }),
};

function tried(outcomes: (SallyportError | undefined)[]): { runtimes: Runtimes; trials: string[] } {
  const trials: string[] = [];
  const trial = async (runtime: string): Promise<void> => {
    trials.push(runtime);
    const outcome = outcomes.shift();
    if (outcome !== undefined) throw outcome;
  };
  return { runtimes: new Runtimes({ engine, trial }), trials };
}

test("a runtime that starts is tried once, however many ask", async () => {
  const { runtimes, trials } = tried([undefined]);
  await Promise.all([runtimes.ensure("runc"), runtimes.ensure("runc")]);
  await runtimes.ensure("runc");
  assert.deepEqual(trials, ["runc"]);
});

test("a runtime that is listed but cannot start is refused with the engine's reason, every time", async () => {
  const { runtimes, trials } = tried([
    new SallyportError("engine_failed", "start x", { details: { reason: "exec: runsc: not found" } }),
  ]);
  for (let round = 0; round < 2; round += 1) {
    await assert.rejects(runtimes.ensure("runsc"), (error) => {
      assert.ok(isError(error, "runtime_unavailable"));
      assert.match(error.message, /runsc: exec: runsc: not found/);
      return true;
    });
  }
  assert.deepEqual(trials, ["runsc"]);
});

test("a runtime that could not start is tried again once its refusal is old, and what starts then is trusted", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { runtimes, trials } = tried([new SallyportError("engine_failed", "no space left"), undefined]);
  await assert.rejects(runtimes.ensure("runc"), (error) => isError(error, "runtime_unavailable"));
  t.mock.timers.tick(refusalMs);
  await runtimes.ensure("runc");
  t.mock.timers.tick(refusalMs);
  await runtimes.ensure("runc");
  assert.deepEqual(trials, ["runc", "runc"]);
});

test("an engine that does not answer says nothing about the runtime: it is tried again", async () => {
  const { runtimes, trials } = tried([new SallyportError("engine_unavailable", "gone"), undefined]);
  await assert.rejects(runtimes.ensure("runc"), (error) => isError(error, "engine_unavailable"));
  await runtimes.ensure("runc");
  assert.deepEqual(trials, ["runc", "runc"]);
});

test("a runtime the engine does not list is not tried", async () => {
  const { runtimes, trials } = tried([]);
  await assert.rejects(runtimes.ensure("kata"), (error) => isError(error, "runtime_unavailable"));
  assert.deepEqual(trials, []);
});

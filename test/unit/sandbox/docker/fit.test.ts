import assert from "node:assert/strict";
import { test } from "node:test";
import { isError, SallyportError } from "../../../../src/errors.ts";
import { Fit } from "../../../../src/sandbox/docker/fit.ts";
import { probeProfile } from "../../../../src/sandbox/docker/probe-profile.ts";
import type { Profile } from "../../../../src/sandbox/index.ts";

const gib = 2 ** 30;
const engine = { facts: async () => ({ cpus: 2, memoryBytes: 24 * gib }) };

const asking = (resources: Partial<Profile["resources"]>): Profile => {
  const plain = probeProfile("runc");
  return { ...plain, name: "big", resources: { ...plain.resources, ...resources } };
};

function fitted(outcomes: (Error | undefined)[] = []): { fit: Fit; trials: string[] } {
  const trials: string[] = [];
  const trial = async (runtime: string, gpus: number): Promise<void> => {
    trials.push(`${runtime} ${gpus}`);
    const outcome = outcomes.shift();
    if (outcome !== undefined) throw outcome;
  };
  return { fit: new Fit({ engine, trial }), trials };
}

const unusable = (pattern: RegExp, field: string) => (error: unknown) => {
  assert.ok(isError(error, "profile_unusable"), String(error));
  assert.match(error.message, pattern);
  assert.equal(error.details["field"], field);
  assert.ok(typeof error.details["fix"] === "string");
  return true;
};

test("what the host has fits, to the last processor and byte", async () => {
  const { fit } = fitted();
  await fit.ensureHost(asking({ cpus: 2, memory: 24 * gib }));
});

test("more than the host has is refused, naming key, what is asked and what there is", async () => {
  const { fit } = fitted();
  const cases = [
    [{ cpus: 2.5 }, /big.*resources\.cpus asks for 2\.5.*has 2$/, "resources.cpus"],
    [{ memory: 25 * gib }, /resources\.memory asks for 25GiB.*has 24GiB/, "resources.memory"],
    [{ cpus: 4, memory: 25 * gib }, /resources\.cpus.*resources\.memory/, "resources.cpus resources.memory"],
  ] as const;
  for (const [resources, pattern, field] of cases) {
    await assert.rejects(fit.ensureHost(asking(resources)), unusable(pattern, field));
  }
});

test("a host that does not tell its memory is not held against a profile", async () => {
  const silent = { facts: async () => ({ cpus: 2, memoryBytes: 0 }) };
  await new Fit({ engine: silent, trial: async () => undefined }).ensureHost(asking({ memory: 25 * gib }));
});

test("GPUs are tried once per runtime and number, and never without any", async () => {
  const { fit, trials } = fitted();
  await Promise.all([fit.ensureGpus(asking({ gpus: 1 })), fit.ensureGpus(asking({ gpus: 1 }))]);
  await fit.ensureGpus(asking({ gpus: 2 }));
  await fit.ensureGpus(asking({ gpus: 0 }));
  assert.deepEqual(trials, ["runc 1", "runc 2"]);
});

test("GPUs the engine cannot give are refused with its reason, every time", async () => {
  const reason = "could not select device driver";
  const { fit, trials } = fitted([new SallyportError("engine_failed", "start x", { details: { reason } })]);
  for (let round = 0; round < 2; round += 1) {
    await assert.rejects(
      fit.ensureGpus(asking({ gpus: 1 })),
      unusable(/resources\.gpus asks for 1.*could not select/, "resources.gpus"),
    );
  }
  assert.deepEqual(trials, ["runc 1"]);
});

test("an engine that does not answer says nothing about GPUs: they are tried again", async () => {
  const { fit, trials } = fitted([new SallyportError("engine_unavailable", "gone"), undefined]);
  await assert.rejects(fit.ensureGpus(asking({ gpus: 1 })), (error) => isError(error, "engine_unavailable"));
  await fit.ensureGpus(asking({ gpus: 1 }));
  assert.equal(trials.length, 2);
});

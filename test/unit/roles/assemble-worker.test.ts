import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { SallyportError } from "../../../src/errors.ts";
import { checkProfiles, stragglersMs } from "../../../src/roles/assemble-worker.ts";
import type { Profile } from "../../../src/sandbox/index.ts";
import { testProfile } from "../../helpers/simulated-hub.ts";

const profiles = new Map(["hung", "broken", "good"].map((name) => [name, testProfile(name)]));
const broken = new SallyportError("runtime_unavailable", "runtime runsc: no");

test("a profile that hangs is not waited for without end when another can be served", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const outcomes: Record<string, Promise<void>> = {
    hung: new Promise(() => undefined),
    broken: Promise.reject(broken),
    good: Promise.resolve(),
  };
  const checked = checkProfiles({ prepare: async ({ name }: Profile) => await outcomes[name] }, profiles);
  await setImmediate();
  t.mock.timers.tick(stragglersMs);
  await checked;
});

test("a profile that takes a moment longer than another is waited for", async () => {
  const order: string[] = [];
  const prepare = async ({ name }: Profile): Promise<void> => {
    if (name === "hung") await setImmediate();
    order.push(name);
  };
  await checkProfiles({ prepare }, profiles);
  assert.deepEqual(order, ["broken", "good", "hung"]);
});

test("profiles of which none can be served are refused with the first one's reason", async () => {
  const prepare = async ({ name }: Profile): Promise<void> => {
    throw name === "hung" ? broken : new SallyportError("image_unavailable", `image: ${name}`);
  };
  await assert.rejects(checkProfiles({ prepare }, profiles), broken);
});

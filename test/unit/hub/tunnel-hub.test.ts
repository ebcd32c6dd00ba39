import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Registry } from "prom-client";
import { TunnelMetrics } from "../../../src/hub/tunnel/metrics.ts";
import type { Offerer } from "../../../src/hub/tunnel/offerer.ts";
import { TunnelHub } from "../../../src/hub/tunnel/tunnel-hub.ts";
import { silentLog } from "../../../src/log.ts";
import type { HubMessage, OfferedRoute } from "../../../src/protocol/index.ts";

class Member {
  unsent = 0;
  readonly told: string[] = [];
  readonly offerer = { label: "connector c", channel: this, draining: false } as unknown as Offerer;

  send(message: HubMessage): void {
    if (message.type === "routes") this.told.push(message.routes.map(({ host }) => host).join());
  }
}

function tunnelOf({ mock }: TestContext): { tunnel: TunnelHub; pass: () => void } {
  mock.timers.enable({ apis: ["setImmediate", "setTimeout"] });
  const tunnel = new TunnelHub({ metrics: new TunnelMetrics(new Registry()), log: silentLog() });
  return { tunnel, pass: () => mock.timers.tick(1_000) };
}

const offering = (host: string): OfferedRoute[] => [
  { host, name: null, state: "up", layer: null, reason: null, checkedAt: null },
];

test("routes that flap are told now and then, the last of them always", (context) => {
  const { tunnel, pass } = tunnelOf(context);
  const [reader, flapping] = [new Member(), new Member()];
  tunnel.join(reader.offerer, []);
  tunnel.join(flapping.offerer, offering("first"));
  for (let n = 0; n < 50; n += 1) {
    tunnel.offer(flapping.offerer, offering(`route-${n}`));
    context.mock.timers.tick(1);
  }
  tunnel.offer(flapping.offerer, offering("last"));
  pass();
  assert.deepEqual(reader.told, ["route-0", "last"]);
});

test("who does not read as fast as routes change is told once it has read, and not of what was in between", (context) => {
  const { tunnel, pass } = tunnelOf(context);
  const [slow, flapping] = [new Member(), new Member()];
  tunnel.join(slow.offerer, []);
  tunnel.join(flapping.offerer, offering("first"));
  pass();
  slow.unsent = 2 ** 21;
  for (const host of ["second", "third"]) {
    tunnel.offer(flapping.offerer, offering(host));
    pass();
  }
  assert.deepEqual(flapping.told, ["first", "second", "third"]);
  assert.deepEqual(slow.told, ["first"]);
  slow.unsent = 0;
  pass();
  assert.deepEqual(slow.told, ["first", "third"]);
});

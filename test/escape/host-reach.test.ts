/** Nothing that listens on the host can be reached from a sandbox. */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Sandbox } from "../../src/sandbox/index.ts";
import { Canary, hostAddresses } from "../helpers/canary.ts";
import { requireEngine } from "../helpers/docker.ts";
import {
  attack,
  attempt,
  attemptIn,
  EscapeRoom,
  stillServes,
  type Body,
  type Bridge,
} from "../helpers/escape.ts";

const skip = await requireEngine();

interface Reached {
  protocol: string;
  host: string;
  reply?: string;
}

describe("host reach", { skip }, () => {
  let room: EscapeRoom;
  let sandbox: Sandbox;
  let canary: Canary;
  let hosts: string[];
  let bridge: Bridge;
  const plan = (extra: { hosts?: string[]; unix?: string[]; wait?: number } = {}): string =>
    JSON.stringify({
      hosts: extra.hosts ?? hosts,
      tcp: canary.tcpPorts,
      udp: canary.udpPorts,
      unix: extra.unix ?? [],
      wait: extra.wait ?? 0.5,
    });
  const answered = (tried: Reached[]): Set<string> =>
    new Set(
      tried.filter(({ reply }) => reply === canary.token).map(({ protocol, host }) => `${protocol} ${host}`),
    );
  const reachFrom = async (body: Body, what: string): Promise<Set<string>> =>
    answered(await attemptIn<Reached[]>(room, body, attack("reach", what)));

  before(async () => {
    room = await EscapeRoom.open("host-reach");
    canary = await Canary.start();
    bridge = await room.bridge();
    const special = [
      "127.0.0.1",
      "0.0.0.0",
      "::1",
      "::",
      "::ffff:127.0.0.1",
      "169.254.169.254",
      "255.255.255.255",
    ];
    const names = ["host.docker.internal", "gateway.docker.internal", "localhost", "224.0.0.251", "ff02::1"];
    hosts = [...new Set([bridge.gateway, "172.17.0.1", ...hostAddresses(), ...special, ...names])];
    sandbox = await room.create();
  });
  after(async () => {
    await stillServes(room);
    await sandbox[Symbol.asyncDispose]();
    await canary[Symbol.asyncDispose]();
    await room[Symbol.asyncDispose]();
  });

  test("control: a container on a bridge reaches the listeners over TCP and UDP", async () => {
    const reached = await reachFrom(
      room.openBody({ NetworkMode: bridge.name }),
      plan({ hosts: [bridge.gateway, ...hostAddresses()] }),
    );
    for (const way of [`tcp ${bridge.gateway}`, `udp ${bridge.gateway}`])
      assert.ok(reached.has(way), [...reached].join(", "));
    assert.ok(canary.touches.length > 0);
  });

  test("control: a container in the host's network reaches loopback and abstract sockets, one with a mount the UNIX socket", async () => {
    const folder = dirname(canary.socketPath);
    const body = room.openBody({ NetworkMode: "host", Binds: [`${folder}:${folder}`] });
    const unix = [`@${canary.abstractName}`, canary.socketPath];
    const reached = await reachFrom(body, plan({ hosts: ["127.0.0.1", "::1"], unix }));
    for (const way of ["tcp 127.0.0.1", "udp 127.0.0.1", "tcp ::1", ...unix.map((path) => `unix ${path}`)]) {
      assert.ok(reached.has(way), `${way} in ${[...reached].join(", ")}`);
    }
  });

  test("from a sandbox no listener is reached, on any address of the host", async () => {
    const before = canary.touches.length;
    const unix = [`@${canary.abstractName}`, canary.socketPath];
    const tried = await attempt<Reached[]>(sandbox, attack("reach", plan({ unix })));
    assert.ok(tried.length >= hosts.length * (canary.tcpPorts.length + canary.udpPorts.length));
    assert.deepEqual([...answered(tried)], []);
    assert.deepEqual(canary.touches.slice(before), []);
  });

  test("from a sandbox as root without capabilities neither", async () => {
    const before = canary.touches.length;
    const body = room.sandboxBody((change) => (change.User = "0:0"));
    assert.deepEqual([...(await reachFrom(body, plan({ unix: [`@${canary.abstractName}`] })))], []);
    assert.deepEqual(canary.touches.slice(before), []);
  });

  test("control: the sandbox's own settings on a bridge do reach the listeners", async () => {
    const body = room.sandboxBody(({ HostConfig }) => (HostConfig.NetworkMode = bridge.name));
    const reached = await reachFrom(body, plan({ hosts: [bridge.gateway] }));
    assert.ok(reached.has(`tcp ${bridge.gateway}`), [...reached].join(", "));
  });
});

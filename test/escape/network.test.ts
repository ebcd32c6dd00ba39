/** A sandbox has no network but its own loopback, and no names but its own. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import type { Sandbox } from "../../src/sandbox/index.ts";
import { requireEngine } from "../helpers/docker.ts";
import { attack, attempt, attemptIn, EscapeRoom, run, stillServes } from "../helpers/escape.ts";

const skip = await requireEngine();

interface View {
  names: string[];
  links: number;
  sys: string[];
  dev: string[];
  route: string[];
  route6: string[];
  addresses6: string[];
  arp: string[];
  resolver: string[];
  packet: string;
  raw: string;
  raw6: string;
  "bring-up": string;
  resolve: string;
  "resolve-host": string;
}
interface Reached {
  protocol: string;
  host: string;
  reply?: string;
  error?: string;
}

function onlyLoopback(view: View): void {
  assert.deepEqual(view.names, ["lo"]);
  assert.equal(view.links, 1);
  assert.deepEqual(view.sys, ["lo"]);
  assert.deepEqual(view.dev, ["lo"]);
  assert.deepEqual(view.route, []);
  assert.deepEqual(view.arp, []);
  for (const name of [...view.route6, ...view.addresses6]) assert.ok(["lo", "ENOENT"].includes(name), name);
}

/** Where names are asked for: the host's own resolver, the engine's, a public one, and the multicast ones. */
function resolvers(): string[] {
  const host = [...readFileSync("/etc/resolv.conf", "utf8").matchAll(/^nameserver\s+(\S+)/gm)];
  return [
    ...host.map((match) => match[1] ?? ""),
    "127.0.0.11",
    "127.0.0.53",
    "8.8.8.8",
    "2001:4860:4860::8888",
  ];
}

describe("network", { skip }, () => {
  let room: EscapeRoom;
  let sandbox: Sandbox;
  before(async () => {
    room = await EscapeRoom.open("network");
    sandbox = await room.create();
  });
  after(async () => {
    await stillServes(room);
    await sandbox[Symbol.asyncDispose]();
    await room[Symbol.asyncDispose]();
  });

  test("lo is the only interface, by every way of asking, and there is no route", async () => {
    onlyLoopback(await attempt<View>(sandbox, attack("net_view")));
  });

  test("no raw or packet socket can be made and no interface be changed", async () => {
    const view = await attempt<View>(sandbox, attack("net_view"));
    assert.deepEqual(
      [view.packet, view.raw, view.raw6, view["bring-up"]],
      ["EPERM", "EPERM", "EPERM", "EPERM"],
    );
  });

  test("no name resolves and the host's resolver is hidden", async () => {
    const view = await attempt<View>(sandbox, attack("net_view"));
    assert.deepEqual([view.resolve, view["resolve-host"]], ["EAI", "EAI"]);
    assert.deepEqual(view.resolver, []);
  });

  test("no resolver, metadata service or neighbour answers, over any protocol", async () => {
    const hosts = [
      ...resolvers(),
      "169.254.169.254",
      "fd00:ec2::254",
      "224.0.0.251",
      "ff02::fb",
      "ff02::1",
      "255.255.255.255",
    ];
    const plan = JSON.stringify({ hosts, tcp: [53, 80, 443, 853], udp: [53, 443, 5353, 5355], wait: 0.5 });
    const tried = await attempt<Reached[]>(sandbox, attack("reach", plan));
    // a ping of its own loopback is answered by the sandbox itself
    assert.deepEqual(
      tried.filter(
        ({ reply, protocol, host }) =>
          reply !== undefined && !(protocol === "icmp" && host.startsWith("127.")),
      ),
      [],
    );
    // not a time-out: nothing leaves the sandbox at all
    const leaving = tried.filter(({ host }) => !host.startsWith("127."));
    const ways = new Set(leaving.map(({ error }) => error));
    assert.ok(!ways.has("timeout") && ways.has("ENETUNREACH"), [...ways].join(" "));
  });

  test("root without capabilities sees no more", async () => {
    const body = room.sandboxBody((change) => (change.User = "0:0"));
    const view = await attemptIn<View>(room, body, attack("net_view"));
    onlyLoopback(view);
    assert.deepEqual([view.packet, view.raw, view.resolve], ["EPERM", "EPERM", "EAI"]);
  });

  test("names given to a sandbox lead to its own loopback and nowhere else", async () => {
    await using named = await room.create("python", ["docs"]);
    const { stdout } = await run(named, ["getent", "ahosts", "docs"]);
    assert.deepEqual([...new Set(stdout.match(/^\S+/gm))], ["127.0.0.1"]);
  });

  test("control: on a bridge the same look shows an interface and a route", async () => {
    const { name } = await room.bridge();
    const body = room.sandboxBody(({ HostConfig }) => (HostConfig.NetworkMode = name));
    const view = await attemptIn<View>(room, body, attack("net_view"));
    assert.throws(() => onlyLoopback(view), assert.AssertionError);
    assert.ok(view.sys.includes("eth0") && view.route.length > 0);
  });
});

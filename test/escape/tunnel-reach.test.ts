/** With its network attached a sandbox reaches the granted host, and still nothing else on any address. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Attachment } from "../../src/egress/index.ts";
import type { Sandbox } from "../../src/sandbox/index.ts";
import { Canary, hostAddresses } from "../helpers/canary.ts";
import { requireEngine } from "../helpers/docker.ts";
import { attack, attempt, attemptIn, EscapeRoom, run, stillServes, type Bridge } from "../helpers/escape.ts";
import { full, startGateway, type GatewayRig } from "../helpers/gateway-rig.ts";

const skip = await requireEngine();
const fetchDocs = `
import urllib.request
with urllib.request.urlopen("http://${full("docs")}/hello", timeout=10) as reply:
    print(reply.read().decode())
`;

interface Reached {
  protocol: string;
  host: string;
  reply?: string;
}

describe("tunnel reach", { skip }, () => {
  let room: EscapeRoom;
  let rig: GatewayRig;
  let canary: Canary;
  let bridge: Bridge;
  let sandbox: Sandbox;
  let neighbour: Sandbox;
  let attachments: Attachment[];

  before(async () => {
    room = await EscapeRoom.open("tunnel-reach");
    rig = startGateway();
    canary = await Canary.start();
    bridge = await room.bridge();
    [sandbox, neighbour] = await Promise.all([
      room.create("python", [full("docs")]),
      room.create("python", [full("wiki")]),
    ]);
    attachments = await Promise.all([
      rig.gateway.attach(sandbox.guest, subject("a"), [{ host: full("docs") }]),
      rig.gateway.attach(neighbour.guest, subject("b"), [{ host: full("wiki") }]),
    ]);
  });
  after(async () => {
    for (const attachment of attachments) await attachment[Symbol.asyncDispose]();
    await Promise.all([sandbox[Symbol.asyncDispose](), neighbour[Symbol.asyncDispose]()]);
    await rig[Symbol.asyncDispose]();
    await canary[Symbol.asyncDispose]();
    await stillServes(room);
    await room[Symbol.asyncDispose]();
  });

  const subject = (name: string): { job: string; sandbox: string; profile: string } => ({
    job: `job-${name}`,
    sandbox: `sandbox-${name}`,
    profile: "python",
  });
  const answered = (tried: Reached[]): string[] =>
    tried.filter(({ reply }) => reply === canary.token).map(({ protocol, host }) => `${protocol} ${host}`);
  const plan = (hosts: string[], unix: string[] = []): string =>
    JSON.stringify({ hosts, tcp: canary.tcpPorts, udp: [...canary.udpPorts, 53], unix, wait: 0.5 });

  test("control: the granted host answers, and a container on a bridge reaches the canaries", async () => {
    const { stdout, stderr } = await run(sandbox, ["python3", "-c", fetchDocs]);
    assert.equal(stdout, `hello from ${full("docs")}\n`, stderr);
    const body = room.openBody({ NetworkMode: bridge.name });
    const reached = answered(await attemptIn(room, body, attack("reach", plan([bridge.gateway]))));
    assert.ok(reached.includes(`tcp ${bridge.gateway}`) && reached.includes(`udp ${bridge.gateway}`));
  });

  test("no listener of the host, no resolver, no metadata service, no address is reached over any protocol", async () => {
    const before = canary.touches.length;
    const special = ["127.0.0.1", "127.0.0.11", "0.0.0.0", "::1", "169.254.169.254", "8.8.8.8", "10.0.0.1"];
    const names = [full("docs"), full("wiki"), "host.docker.internal", "example.com"];
    const hosts = [...new Set([bridge.gateway, "172.17.0.1", ...hostAddresses(), ...special, ...names])];
    const unix = [`@${canary.abstractName}`, canary.socketPath];
    const tried = await attempt<Reached[]>(sandbox, attack("reach", plan(hosts, unix)));
    assert.ok(tried.length > hosts.length * canary.tcpPorts.length);
    assert.deepEqual(answered(tried), []);
    assert.deepEqual(canary.touches.slice(before), []);
  });

  test("what another sandbox may reach it may not, by the name nor by the host's address", async () => {
    const ask = (host: string): string =>
      `import http.client\nc = http.client.HTTPConnection("127.0.0.1", 80, timeout=10)\n` +
      `c.request("GET", "/", headers={"Host": "${host}"})\nr = c.getresponse()\nprint(r.status, r.read().decode())`;
    const seen = rig.local.seen.length;
    const { stdout } = await run(sandbox, ["python3", "-c", ask(full("wiki"))]);
    assert.equal(stdout, `403 {"error":"host_not_allowed","host":"${full("wiki")}"}\n`);
    assert.equal(rig.local.seen.length, seen, "nothing was forwarded");
    const own = await run(neighbour, ["python3", "-c", ask(full("wiki"))]);
    assert.match(own.stdout, /^200 /, "control: its neighbour may");
  });
});

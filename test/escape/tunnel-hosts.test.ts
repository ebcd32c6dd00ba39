/** Whatever a program in a sandbox writes where a host belongs, no request goes to a host it was not granted. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Attachment } from "../../src/egress/index.ts";
import type { Sandbox } from "../../src/sandbox/index.ts";
import { requireEngine } from "../helpers/docker.ts";
import { attack, attempt, EscapeRoom, stillServes } from "../helpers/escape.ts";
import { full, startGateway, type GatewayRig } from "../helpers/gateway-rig.ts";

const skip = await requireEngine();
const granted = full("docs");

/** Spellings that a resolver, a URL parser or a careless comparison could take for something else */
const spellings = [
  ["evil.test", "example.com", `not${granted}`, `${granted}.evil.test`, `${granted}x`, full("wiki")],
  ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "017700000001", "0", "10.0.0.1", "169.254.169.254"],
  ["[::1]", "[::ffff:127.0.0.1]", `::ffff:127.0.0.1%x.${granted}`, "fe80::1%25eth0", "localhost"],
  [`evil.test\0.${granted}`, `evil.test%00.${granted}`, `evil.test\t.${granted}`, `evil.test .${granted}`],
  [`${granted}@evil.test`, `evil.test\\@${granted}`, `evil.test#@${granted}`, `evil.test?${granted}`],
  [`${granted}..`, `.${granted}`, granted.replace(".", "%2e"), "xn--dcs-tna.t.test", "d\u00f6cs.t.test"],
  [
    `${granted}:22`,
    `${granted}:0`,
    `${granted}:65536`,
    `${granted}:-1`,
    `${granted}:443 `,
    `${granted}:80:80`,
  ],
].flat();

interface Said {
  status: number;
  body: string;
}

interface Line {
  port: number;
  text: string;
  /** the server name that TLS asks for */
  tls?: string;
}

describe("tunnel hosts", { skip }, () => {
  let room: EscapeRoom;
  let rig: GatewayRig;
  let sandbox: Sandbox;
  let attachment: Attachment;

  before(async () => {
    room = await EscapeRoom.open("tunnel-hosts");
    rig = startGateway();
    sandbox = await room.create("python", [granted]);
    const subject = { job: "job", sandbox: "sandbox", profile: "python" };
    attachment = await rig.gateway.attach(sandbox.guest, subject, [{ host: granted }]);
  });
  after(async () => {
    await attachment[Symbol.asyncDispose]();
    await sandbox[Symbol.asyncDispose]();
    await rig[Symbol.asyncDispose]();
    await stillServes(room);
    await room[Symbol.asyncDispose]();
  });

  const say = async (lines: readonly Line[]): Promise<Said[]> =>
    await attempt<Said[]>(sandbox, attack("hosts", JSON.stringify(lines)));
  const close = "connection: close\r\n\r\n";
  const plain = (host: string): Line => ({ port: 80, text: `GET /x HTTP/1.1\r\nhost: ${host}\r\n${close}` });
  const connect = (target: string): Line => ({
    port: 3128,
    text: `CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\n\r\nGET /x HTTP/1.1\r\nhost: ${target}\r\n${close}`,
  });
  const absolute = (host: string, named = host): Line => ({
    port: 3128,
    text: `GET http://${host}/x HTTP/1.1\r\nhost: ${named}\r\n${close}`,
  });

  test("control: the granted spelling is forwarded on every port, in any case", async () => {
    const lines = [plain(granted), plain(granted.toUpperCase()), plain(`${granted}:80`), absolute(granted)];
    for (const { status, body } of await say(lines)) assert.equal(status, 200, body);
    assert.deepEqual([...new Set(rig.local.seen.map(({ host }) => host))], [granted]);
  });

  test("an unknown host is refused with exactly its name, on every port", async () => {
    const refusal = '{"error":"host_not_allowed","host":"evil.test"}';
    for (const { status, body } of await say([
      plain("evil.test"),
      absolute("evil.test"),
      connect("evil.test:443"),
    ]))
      assert.deepEqual([status, body.trim()], [403, refusal]);
  });

  test("no other spelling of a host is forwarded: as Host, as CONNECT's target, as an absolute target", async () => {
    const seen = rig.local.seen.length;
    const lines = spellings.flatMap((host) => [
      plain(host),
      connect(host),
      connect(`${host}:443`),
      absolute(host),
      absolute(host, granted),
      absolute(granted, host),
    ]);
    const said = await say(lines);
    const passed = said.flatMap(({ status }, at) => (status < 300 && status > 0 ? [lines[at]?.text] : []));
    assert.deepEqual(passed, []);
    assert.equal(rig.local.seen.length, seen);
  });

  test("TLS: only the granted server name is served, and behind it only the same host", async () => {
    const seen = rig.local.seen.length;
    const over = (name: string, text: string): Line => ({ port: 443, tls: name, text });
    const names = [
      full("wiki"),
      "evil.test",
      `x.${granted}`,
      `${granted}.evil.test`,
      "localhost",
      "127.0.0.1",
      "",
    ];
    const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const [own, ...others] = await say([
      over(granted, plain(granted).text),
      over(granted, plain(full("wiki")).text),
      over(granted, plain("evil.test").text),
      over(granted, preface),
      ...names.map((name) => over(name, plain(name).text)),
      ...names.map((name) => over(name, plain(granted).text)),
    ]);
    assert.equal(own?.status, 200, "control");
    assert.deepEqual(
      others.map(({ status }) => status).filter((status) => status > 0 && status < 400),
      [],
    );
    assert.deepEqual(
      others.slice(0, 2).map(({ status }) => status),
      [421, 421],
    );
    assert.deepEqual([...new Set(rig.local.seen.map(({ host }) => host))], [granted]);
    assert.deepEqual([rig.local.seen.length, rig.remote.seen.length], [seen + 1, 0]);
  });

  test("two hosts, smuggled requests, other protocols: none is forwarded", async () => {
    const seen = rig.local.seen.length;
    const head = `POST /x HTTP/1.1\r\nhost: ${granted}\r\n`;
    const inner = `GET /inner HTTP/1.1\r\nhost: ${full("wiki")}\r\n\r\n`;
    const said = await say([
      { port: 80, text: `GET /x HTTP/1.1\r\nhost: ${granted}\r\nhost: evil.test\r\n${close}` },
      { port: 80, text: `GET /x HTTP/1.1\r\nhost: evil.test\r\nhost: ${granted}\r\n${close}` },
      { port: 80, text: `${head}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${inner}` },
      { port: 80, text: `${head}transfer-encoding: xchunked\r\n\r\n${inner}` },
      { port: 80, text: `${head}content-length: +5\r\n\r\n${inner}` },
      { port: 80, text: `GET /x HTTP/1.1\r\n${close}` },
      { port: 80, text: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" },
      {
        port: 80,
        text: `GET /x HTTP/1.1\r\nhost: ${granted}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n`,
      },
    ]);
    for (const { status } of said) assert.ok(status === 0 || status >= 400, String(status));
    assert.equal(rig.local.seen.length, seen);
  });
});

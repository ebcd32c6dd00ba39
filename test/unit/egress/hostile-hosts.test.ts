/** Spellings of hosts as raw bytes on every port: nothing but a granted host ever reaches a route, and a control shows it could. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { full, startGateway, type GatewayRig, type Sandbox } from "../../helpers/gateway-rig.ts";

const granted = full("docs");

/** Everything that may not pass as `docs.t.test`, and what is no host at all */
const hostile = [
  `evil\0.${granted}`,
  `${granted}\0`,
  `${granted}\0.evil`,
  `evil%00.${granted}`,
  `evil\t.${granted}`,
  `evil .${granted}`,
  `${granted}\tevil`,
  `${granted} evil`,
  `${granted}\revil`,
  `evil\r\nHost: ${granted}`,
  `evil\nHost: ${granted}`,
  `${granted}.`,
  `.${granted}`,
  `docs..t.test`,
  `user@${granted}`,
  `${granted}@evil`,
  `user:pw@${granted}`,
  `${granted}\\@evil`,
  `evil\\.${granted}`,
  `evil#@${granted}`,
  `${granted}%2eevil`,
  `docs%2et%2etest`,
  `[${granted}]`,
  "[::1]",
  "[::ffff:127.0.0.1%lo]",
  "[fe80::1%25eth0]",
  "[::ffff:a9fe:a9fe]",
  "::1",
  "127.1",
  "127.0.0.1",
  "2130706433",
  "0x7f.1",
  "0x7f000001",
  "017700000001",
  "0",
  "169.254.169.254",
  "localhost",
  "host.docker.internal",
  `${granted}:0`,
  `${granted}:65536`,
  `${granted}:-1`,
  `${granted}:443 `,
  `${granted}:443x`,
  `${granted}:22`,
  `${granted}:2375`,
  `${granted}:`,
  `${granted}:443:443`,
  `not${granted}`,
  `${granted}.evil.com`,
  `${granted}x`,
  `evil${granted}`,
  `-${granted}`,
  "docs",
  "d\u00f6cs.t.test",
  "xn--dcs-sna.t.test",
  "docs\u3002t.test",
  "",
  "*",
  "a".repeat(300),
  `${"a.".repeat(130)}test`,
];

interface Way {
  name: string;
  port: number;
  write: (host: string) => string;
}

const ways: Way[] = [
  { name: "Host", port: 80, write: (host) => `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n` },
  { name: "absolute", port: 80, write: (host) => `GET http://${host}/ HTTP/1.1\r\nHost: ${granted}\r\n\r\n` },
  {
    name: "two hosts",
    port: 80,
    write: (host) => `GET / HTTP/1.1\r\nHost: ${granted}\r\nHost: ${host}\r\n\r\n`,
  },
  { name: "proxy", port: 3128, write: (host) => `GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\n\r\n` },
  {
    name: "proxy, Host granted",
    port: 3128,
    write: (host) => `GET http://${host}/ HTTP/1.1\r\nHost: ${granted}\r\n\r\n`,
  },
  {
    name: "proxy, URL granted",
    port: 3128,
    write: (host) => `GET http://${granted}/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
  },
  {
    name: "CONNECT",
    port: 3128,
    write: (host) =>
      `CONNECT ${host}:80 HTTP/1.1\r\nHost: ${host}:80\r\n\r\nGET / HTTP/1.1\r\nHost: ${granted}\r\n\r\n`,
  },
  {
    name: "CONNECT as it is",
    port: 3128,
    write: (host) =>
      `CONNECT ${host} HTTP/1.1\r\nHost: ${granted}\r\n\r\nGET / HTTP/1.1\r\nHost: ${granted}\r\n\r\n`,
  },
  {
    name: "CONNECT, target granted",
    port: 3128,
    write: (host) =>
      `CONNECT ${granted}:80 HTTP/1.1\r\nHost: ${host}\r\n\r\nGET / HTTP/1.1\r\nHost: ${granted}\r\n\r\n`,
  },
  {
    name: "behind CONNECT",
    port: 3128,
    write: (host) =>
      `CONNECT ${granted}:80 HTTP/1.1\r\nHost: ${granted}:80\r\n\r\nGET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
  },
];

/** Status of the last reply */
const statusOf = (answer: string): number => Number(/.*HTTP\/1\.1 (\d{3}) /s.exec(answer)?.[1] ?? 0);

async function startGranted(): Promise<GatewayRig & { sandbox: Sandbox }> {
  const rig = startGateway({ connectionsPerSecond: 1e6 });
  return { ...rig, sandbox: await rig.attach([{ host: "docs" }]) };
}

for (const { name, port, write } of ways) {
  test(`${name}: no unusual spelling reaches a route`, async () => {
    await using rig = await startGranted();
    const refused = hostile.map(async (host) => {
      const answer = await rig.sandbox.raw(port, Buffer.from(write(host), "utf8"));
      const isCut = name === "CONNECT as it is" && answer.endsWith("Established\r\n\r\n");
      const isRefused = isCut || [400, 403, 421, 431].includes(statusOf(answer));
      assert.ok(isRefused, `${JSON.stringify(host)}: ${answer}`);
    });
    await Promise.all(refused);
    assert.deepEqual(rig.local.seen.concat(rig.remote.seen), []);
  });
}

test("control: the same bytes with the granted host do reach it", async () => {
  await using rig = await startGranted();
  for (const { name, port, write } of ways) {
    if (name === "two hosts") continue;
    const before = rig.local.seen.length;
    const host = name === "CONNECT as it is" ? `${granted}:80` : granted;
    const answer = await rig.sandbox.raw(port, write(host));
    assert.equal(statusOf(answer), 200, `${name}: ${answer}`);
    assert.equal(rig.local.seen.length, before + 1, name);
  }
});

test("whatever stands in a request, what is forwarded is a granted host as it was resolved", async () => {
  await using rig = await startGranted();
  const piece = fc.constantFrom(
    "docs",
    "t",
    "test",
    ".",
    ":",
    "443",
    "80",
    "@",
    "evil",
    "%",
    "[",
    "]",
    "DOCS",
    " ",
    "\t",
    "\0",
    "-",
  );
  const odd = fc.array(piece, { maxLength: 7 }).map((pieces) => pieces.join(""));
  const host = fc.oneof(odd, fc.constantFrom(granted, granted.toUpperCase(), `${granted}:80`));
  const sent = fc.array(fc.tuple(fc.constantFrom(...ways), host), { minLength: 1, maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(sent, async (many) => {
      await Promise.all(many.map(([{ port, write }, text]) => rig.sandbox.raw(port, write(text))));
      for (const request of rig.local.seen.concat(rig.remote.seen)) assert.equal(request.host, granted);
    }),
    { numRuns: 15 },
  );
  assert.ok(rig.local.seen.length > 0, "some do get through");
});

test("server names: only the granted one serves, unusual ones and none end the handshake", async () => {
  await using rig = await startGranted();
  for (const name of [`${granted}.`, "docs_.t.test", "127.0.0.1.", "a..b", "1.2.3"]) {
    await assert.rejects(rig.sandbox.tls(name, { checkServerIdentity: () => undefined }), name);
  }
  await assert.rejects(rig.sandbox.tls("", { rejectUnauthorized: false }));
  await assert.rejects(rig.sandbox.tls(granted, { ALPNProtocols: ["h2"] }));
  const upper = await rig.sandbox.tls(granted.toUpperCase(), { checkServerIdentity: () => undefined });
  upper.end(`GET / HTTP/1.1\r\nHost: ${granted}\r\n\r\n`);
  await new Promise((resolve) => upper.once("data", resolve));
  assert.equal(rig.local.seen.length, 1);
});

test("what is no HTTP/1.1 with a path is refused: prior-knowledge HTTP/2, upgrades, CONNECT where it does not belong", async () => {
  await using rig = await startGranted();
  const { sandbox } = rig;
  const host = `Host: ${granted}`;
  const cases: [number, string][] = [
    [80, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    [3128, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    [
      80,
      `GET / HTTP/1.1\r\n${host}\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n`,
    ],
    [80, `CONNECT ${granted}:80 HTTP/1.1\r\n${host}:80\r\n\r\n`],
    [3128, `CONNECT ${granted}:80 HTTP/1.0\r\nHost: not${granted}:80\r\n\r\n`],
    [3128, `CONNECT ${granted}:80 HTTP/1.1\r\n\r\n`],
    [3128, `GET http://${granted}/ HTTP/1.0\r\n\r\n`],
    [80, `OPTIONS * HTTP/1.1\r\n${host}\r\n\r\n`],
    [80, `GET https://${granted}/ HTTP/1.1\r\n${host}\r\n\r\n`],
    [3128, `GET / HTTP/1.1\r\n${host}\r\n\r\n`],
    [3128, `GET https://${granted}/ HTTP/1.1\r\n${host}\r\n\r\n`],
    [
      80,
      `GET / HTTP/1.1\r\nHost: ${granted}\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
    ],
    [80, "GET / HTTP/1.1\r\n\r\n"],
    [80, "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"],
    [3128, "\x05\x01\x00"],
  ];
  for (const [port, bytes] of cases) {
    const answer = await sandbox.raw(port, bytes);
    assert.ok([400, 403, 421].includes(statusOf(answer)), `${JSON.stringify(bytes)}: ${answer}`);
  }
  assert.deepEqual(rig.local.seen, []);
});

/** Which hosts a sandbox reaches through the gateway, with real TLS and HTTP clients on its ports. */
import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { isError } from "../../../src/errors.ts";
import { docs, until } from "../../helpers/gateway-client.ts";
import { full, raw, startGateway } from "../../helpers/gateway-rig.ts";

test("a granted host answers over TLS and over plain HTTP, the local route before the remote one", async () => {
  await using rig = startGateway();
  const sandbox = await rig.attach([{ host: "docs" }, { host: full("far") }]);
  assert.deepEqual(sandbox.guest.listening, [443, 80, 3128]);
  const secure = await sandbox.ask(`https://${full("docs")}/mcp?a=%2F`);
  assert.deepEqual([secure.status, secure.text], [200, `hello from ${full("docs")}`]);
  const plain = await sandbox.ask(`http://${full("docs")}/x`);
  assert.equal(plain.status, 200);
  const far = await sandbox.ask(`https://${full("far").toUpperCase()}/`);
  assert.equal(far.text, `hello from ${full("far")}`);
  assert.deepEqual(
    rig.local.seen.map(({ host, target }) => [host, target]),
    [
      [full("docs"), "/mcp?a=%2F"],
      [full("docs"), "/x"],
    ],
  );
  assert.deepEqual(
    rig.remote.seen.map(({ host }) => host),
    [full("far")],
  );
});

test("no grant: nothing listens", async () => {
  await using rig = startGateway();
  const sandbox = await rig.attach([]);
  assert.deepEqual(sandbox.guest.listening, []);
  assert.equal(sandbox.attachment.calls, 0);
});

test("a host that is not granted is told so in exactly one form, over TLS, HTTP, the proxy and CONNECT", async () => {
  await using rig = startGateway();
  const sandbox = await rig.attach([{ host: "docs" }]);
  for (const host of [full("wiki"), "example.com", `docs.${full("docs")}`, `not${full("docs")}`]) {
    const exact = JSON.stringify({ error: "host_not_allowed", host });
    for (const scheme of ["https", "http"]) {
      const { status, headers, text } = await sandbox.ask(`${scheme}://${host}/`);
      assert.deepEqual([status, headers["content-type"], text], [403, "application/json", exact], host);
    }
    for (const head of [
      `GET http://${host}/ HTTP/1.1\r\nHost: ${host}`,
      `CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}:443`,
    ]) {
      const answer = await sandbox.raw(3128, `${head}\r\n\r\n`);
      assert.match(answer, /^HTTP\/1\.1 403 /);
      assert.ok(answer.endsWith(exact), answer);
    }
  }
  assert.deepEqual([rig.local.seen, rig.remote.seen], [[], []]);
  assert.equal(rig.audit.length, 16);
  for (const { decision, reason, job, sandbox: id } of rig.audit)
    assert.deepEqual(
      [decision, reason, job, id],
      ["deny", "host_not_allowed", "job of sandbox-1", "sandbox-1"],
    );
});

test("a host that is no hostname is refused, and noted as it was written", async () => {
  await using rig = startGateway();
  const sandbox = await rig.attach([{ host: "docs" }]);
  for (const head of [
    "CONNECT 127.1:443 HTTP/1.1\r\nHost: 127.1:443",
    "GET http://127.1/ HTTP/1.1\r\nHost: 127.1",
  ])
    assert.match(await sandbox.raw(3128, `${head}\r\n\r\n`), /^HTTP\/1\.1 403 .*"host":"127\.1"/s);
  assert.deepEqual(
    rig.audit.map(({ host, reason }) => [host, reason]),
    [
      ["127.1", "host_not_allowed"],
      ["127.1", "host_not_allowed"],
    ],
  );
});

test("a port may be written out where it is the connection's own; any other is another host", async () => {
  await using rig = startGateway();
  const sandbox = await rig.attach([{ host: "docs" }]);
  const ways: [port: number, target: string, host: string, status: number][] = [
    [80, "/", `${docs}:80`, 200],
    [80, `http://${docs}:80/`, docs, 200],
    [80, "/", `${docs}:443`, 421],
    [3128, `http://${docs}:80/`, `${docs}:80`, 200],
    [3128, `http://${docs}:8080/`, `${docs}:8080`, 403],
    [3128, `http://${docs}:8080/`, docs, 421],
  ];
  for (const [port, target, host, status] of ways) {
    const answer = await sandbox.raw(port, `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    assert.ok(answer.startsWith(`HTTP/1.1 ${status} `), `${port} ${target} ${host}: ${answer}`);
  }
});

test("CONNECT: TLS and plain HTTP behind it, for the host that was named and no other", async () => {
  await using rig = startGateway();
  const sandbox = await rig.attach([{ host: "docs" }, { host: "wiki" }]);
  const through = async (head: string): Promise<Duplex> => {
    const socket = sandbox.guest.dial(3128);
    socket.write(`${head}\r\n\r\n`);
    assert.match(await until(socket, "\r\n\r\n"), /^HTTP\/1.1 200 /);
    return socket;
  };
  const connect = `CONNECT ${docs}:443 HTTP/1.1\r\nHost: ${docs}:443`;
  const get = (host: string): string => `GET /x HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
  const secure = await sandbox.tls(docs, {}, await through(connect));
  assert.match(await raw(secure, get(docs)), /hello from docs/);
  const old = await sandbox.tls(docs, {}, await through(`CONNECT ${docs}:443 HTTP/1.0`));
  assert.match(await raw(old, get(docs)), /hello from docs/);
  const other = await sandbox.tls(full("wiki"), {}, await through(connect));
  assert.match(await raw(other, get(full("wiki"))), /^HTTP\/1.1 421 .*host_mismatch/s);
  const fronted = await sandbox.tls(docs, {}, await through(connect));
  assert.match(await raw(fronted, get(full("wiki"))), /^HTTP\/1.1 421 .*host_mismatch/s);
  const plain = await through(`CONNECT ${docs}:80 HTTP/1.1\r\nHost: ${docs}:80`);
  assert.match(await raw(plain, get(docs)), /hello from docs/);
  assert.deepEqual(
    rig.local.seen.map(({ host }) => host),
    [docs, docs, docs],
  );
});

test("a Host that is not the server name is 421, also where both are granted", async () => {
  await using rig = startGateway();
  const sandbox = await rig.attach([{ host: "docs" }, { host: "wiki" }]);
  for (const host of [full("wiki"), "example.com", `${docs}:8443`, `${docs}:80`]) {
    const { status, text } = await sandbox.ask(`https://${docs}/`, { headers: { host } });
    assert.deepEqual([status, (JSON.parse(text) as { error: string }).error], [421, "host_mismatch"], host);
  }
  assert.equal((await sandbox.ask(`https://${docs}/`, { headers: { host: `${docs}:443` } })).status, 200);
  assert.equal(rig.local.seen.length, 1);
});

test("what a request says of its own origin goes no further, and every request gets an id of its own", async () => {
  await using rig = startGateway();
  const sandbox = await rig.attach([{ host: "docs" }]);
  const claims = {
    "x-forwarded-for": "1.2.3.4",
    "X-Forwarded-Host": "evil",
    x_forwarded_proto: "https",
    Forwarded: "for=1.2.3.4",
    "x-sallyport-job": "other",
    X_Sallyport_Sandbox: "other",
    "x-request-id": "chosen-by-me",
    "x-real-ip": "1.1.1.1",
    connection: "x-named",
    "x-named": "1",
    "x-own": "kept",
  };
  for (let turn = 0; turn < 2; turn += 1) await sandbox.ask(`https://${docs}/`, { headers: claims });
  const [first, second] = rig.local.seen;
  assert.deepEqual(first?.headers, [["x-own", "kept"]]);
  assert.notEqual(first?.id, second?.id);
  assert.notEqual(first?.id, "chosen-by-me");
});

test("a route that goes away is no matter of the policy, and one that comes back serves again", async () => {
  await using rig = startGateway();
  const sandbox = await rig.attach([{ host: "wiki" }]);
  let told = 0;
  using _watching = rig.gateway.onChange(() => (told += 1));
  rig.local.set("docs");
  const gone = await sandbox.ask(`https://${full("wiki")}/`);
  assert.equal(gone.status, 404);
  assert.equal((JSON.parse(gone.text) as { error: string }).error, "route_unknown");
  assert.equal(gone.headers["x-sallyport-layer"], "route");
  assert.deepEqual(
    rig.audit.map(({ reason, rule }) => [reason, rule]),
    [["route_unknown", "route"]],
  );
  rig.local.set("docs", "wiki");
  rig.local.set("docs", "wiki");
  assert.equal((await sandbox.ask(`https://${full("wiki")}/`)).status, 200);
  assert.equal(told, 2, "told of what changed, not of every look");
});

test("a grant for a route nobody knows, or twice for one, attaches nothing", async () => {
  await using rig = startGateway();
  for (const host of ["nowhere", "docs.t.test.", "*", "127.0.0.1", ""])
    await assert.rejects(rig.attach([{ host }]), (error) => isError(error, "route_unknown"), host);
  await assert.rejects(rig.attach([{ host: "docs" }, { host: docs }]), (error) =>
    isError(error, "request_invalid"),
  );
});

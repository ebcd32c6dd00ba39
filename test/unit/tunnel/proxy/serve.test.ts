import assert from "node:assert/strict";
import { once } from "node:events";
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { connect, type ConnectionOptions } from "node:tls";
import { X509Certificate } from "node:crypto";
import { promisify } from "node:util";
import { isError } from "../../../../src/errors.ts";
import { headerOf } from "../../../../src/exchange/index.ts";
import {
  createAuthority,
  type Authority,
  type CertifiedKey,
  type Tunnel,
} from "../../../../src/tunnel/index.ts";
import { admits, loadIdentity } from "../../../../src/tunnel/proxy/identity.ts";
import { aRequest, authority, byteStreamTo, callerOf, domain, live, remoteTo, rig, textOf } from "./rig.ts";
import { rawUpstream, upstream, valuesOf } from "./upstream.ts";

const run = promisify(execFile);
const host = `docs.${domain}`;

/** One raw exchange over inner TLS; resolves with all that came back. */
async function spoken(tunnel: Tunnel, text: string, options: ConnectionOptions = {}): Promise<string> {
  const socket = connect({
    socket: byteStreamTo(tunnel),
    servername: host,
    ca: authority.certPem,
    ...options,
  });
  await once(socket, "secureConnect");
  socket.write(text);
  return await textOf(socket);
}

const get = (target: string, name: string, ...headers: string[]): string =>
  [`GET ${target} HTTP/1.1`, `Host: ${name}`, "Connection: close", ...headers, "", ""].join("\r\n");

test("a caller over inner TLS reaches the upstream of its host, and the log says so", async () => {
  await using docs = await upstream((_message, reply) => void reply.end("from docs"));
  await using own = await rig({ routes: { docs: docs.port } });
  await using caller = callerOf(own.tunnel);
  const response = await caller.forward(aRequest({ target: "/mcp?a=%2F" }), live());
  assert.deepEqual([response.status, await textOf(response.body)], [200, "from docs"]);
  const [seen] = docs.requests;
  assert.equal(seen?.url, "/mcp?a=%2F");
  assert.deepEqual(valuesOf(seen.headers, "host"), [host]);
  assert.deepEqual(valuesOf(seen.headers, "x-request-id"), ["request-1"]);
  assert.equal(own.log.said("route configured").length, 1);
  const [started] = own.log.said("request started");
  assert.deepEqual(
    [started?.["requestId"], started?.["host"], started?.["peer"]],
    ["request-1", host, "caller"],
  );
});

test("an unknown host is a bad gateway that names the route", async () => {
  await using docs = await upstream();
  await using own = await rig({ routes: { docs: docs.port } });
  await using caller = callerOf(own.tunnel);
  const response = await caller.forward(aRequest({ host: `other.${domain}` }), live());
  assert.equal(response.status, 502);
  assert.equal(headerOf(response.headers, "x-sallyport-layer"), "route");
  assert.match(await textOf(response.body), /No route configured for host/);
  assert.equal(own.log.said("no route for host").length, 1);
  assert.equal(docs.requests.length, 0);
});

test("only the host that TLS was made for can be asked for", async () => {
  await using docs = await upstream();
  await using other = await upstream();
  await using own = await rig({ routes: { docs: docs.port, other: other.port } });
  const status = async (text: string, options: ConnectionOptions = {}): Promise<string | undefined> =>
    (await spoken(own.tunnel, text, options)).split(" ")[1];
  assert.equal(await status(get("/", `other.${domain}`)), "421");
  assert.equal(await status(get("/", host), { servername: "", checkServerIdentity: () => undefined }), "421");
  assert.equal(await status(get(`http://other.${domain}/`, host)), "400");
  assert.equal(await status(get(`http://${host}/`, host)), "400");
  assert.equal(await status(get("/", `${host}.`)), "400");
  assert.equal(await status(get("/", host, "Upgrade: websocket")), "400");
  assert.deepEqual([docs.requests.length, other.requests.length], [0, 0]);
  assert.equal(await status(get("/", host.toUpperCase())), "200");
  assert.equal(docs.requests.length, 1);
});

test("an address outside the allowed ranges is never dialled, and the log has the documented text", async () => {
  await using canary = await rawUpstream((socket) => socket.destroy());
  const routes = { docs: canary.port };
  await using own = await rig({ routes, allowedIps: ["10.0.0.0/8"] });
  await using caller = callerOf(own.tunnel);
  const response = await caller.forward(aRequest(), live());
  assert.equal(response.status, 502);
  assert.equal(headerOf(response.headers, "x-sallyport-layer"), "ip");
  await textOf(response.body);
  assert.equal(own.log.said("IP validation failed: 127.0.0.1 is not a private address").length, 1);
  assert.equal(canary.connections, 0);
});

test("a caller without trust in the CA fails in its handshake, and so does what is no TLS", async () => {
  await using docs = await upstream();
  await using own = await rig({ routes: { docs: docs.port } });
  const stranger = createAuthority({ commonName: "other", days: 1 });
  await using caller = remoteTo(own.tunnel, stranger.certPem);
  const failure: unknown = await caller.forward(aRequest(), live()).catch((error: unknown) => error);
  assert.ok(isError(failure, "certificate_invalid"));
  assert.deepEqual([failure.details["layer"], failure.details["sent"]], ["inner_tls", false]);
  const plain = byteStreamTo(own.tunnel);
  plain.write(get("/", host));
  await textOf(plain).catch(() => "");
  while (own.log.said("tls handshake failed").length < 2) await new Promise(setImmediate);
  assert.equal(docs.requests.length, 0);
});

/** A certificate for clients, which none of our own authorities makes. */
async function clientKey(dir: string, issuer: CertifiedKey): Promise<CertifiedKey> {
  const at = (name: string): string => join(dir, name);
  await writeFile(at("ca.crt"), issuer.certPem);
  await writeFile(at("ca.key"), issuer.keyPem);
  const made = [
    "-keyout",
    at("client.key"),
    "-out",
    at("client.crt"),
    "-CA",
    at("ca.crt"),
    "-CAkey",
    at("ca.key"),
  ];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=caller"];
  const uses = ["-addext", "extendedKeyUsage=clientAuth", "-addext", "basicConstraints=critical,CA:FALSE"];
  await run("openssl", ["req", "-x509", "-days", "1", ...kind, ...made, ...uses]);
  return {
    certPem: await readFile(at("client.crt"), "utf8"),
    keyPem: await readFile(at("client.key"), "utf8"),
  };
}

test("callers need a certificate of the named CA where one is named", async () => {
  await using docs = await upstream();
  const clients = createAuthority({ commonName: "clients", days: 1 });
  await using own = await rig({ routes: { docs: docs.port } });
  const clientCaFile = join(own.dir.path, "clients.crt");
  await writeFile(clientCaFile, clients.certPem);
  await own.next({ routes: { docs: docs.port }, clientCaFile });
  await own.tunnel.reload();
  const call = (leaf?: { certPem: string; keyPem: string }): Promise<string> =>
    spoken(own.tunnel, get("/", host), leaf === undefined ? {} : { cert: leaf.certPem, key: leaf.keyPem });
  await assert.rejects(async () => assert.match(await call(), /^HTTP/));
  const forged = createAuthority({ commonName: "clients", days: 1 }).issueLeaf("caller");
  await assert.rejects(async () => assert.match(await call(forged), /^HTTP/));
  assert.equal(docs.requests.length, 0);
  await assert.rejects(async () => assert.match(await call(clients.issueLeaf("caller")), /^HTTP/));
  assert.match(await call(await clientKey(own.dir.path, clients)), /^HTTP\/1\.1 200/);
});

test("while the CA for callers changes, those of both are let in", async () => {
  await using docs = await upstream();
  const [old, next, none] = ["old", "next", "none"].map((commonName) =>
    createAuthority({ commonName, days: 1 }),
  );
  assert.ok(old && next && none);
  await using own = await rig({ routes: { docs: docs.port } });
  const clientCaFile = join(own.dir.path, "clients.crt");
  await writeFile(clientCaFile, `the old one\n${old.certPem}\nand the next\n${next.certPem}`);
  await own.next({ routes: { docs: docs.port }, clientCaFile });
  await own.tunnel.reload();
  const call = async (of: Authority): Promise<string> => {
    const { certPem: cert, keyPem: key } = await clientKey(own.dir.path, of);
    return await spoken(own.tunnel, get("/", host), { cert, key });
  };
  assert.match(await call(old), /^HTTP\/1\.1 200/);
  assert.match(await call(next), /^HTTP\/1\.1 200/);
  await assert.rejects(async () => assert.match(await call(none), /^HTTP/));
});

test("a caller's certificate is good within its time and for clients only; one of our own key needs no more", async () => {
  await using own = await rig({ routes: {} });
  const clients = createAuthority({ commonName: "clients", days: 1 });
  const caller = new X509Certificate((await clientKey(own.dir.path, clients)).certPem);
  const [certFile, keyFile, clientCaFile] = ["tls.crt", "tls.key", "ca.crt"].map((name) =>
    join(own.dir.path, name),
  ) as [string, string, string];
  const identity = await loadIdentity({ tls: { certFile, keyFile }, clientCaFile });
  assert.ok(identity !== null);
  const from = caller.validFromDate.getTime();
  const to = caller.validToDate.getTime();
  assert.deepEqual(
    [from - 1, from, to - 1, to].map((now) => admits(identity, caller, new Date(now))),
    [false, true, true, false],
  );
  const server = new X509Certificate(clients.issueLeaf("caller").certPem);
  assert.equal(admits(identity, server), false);
  assert.equal(admits(identity, undefined), false);
  assert.equal(admits(identity, new X509Certificate(identity.certPem)), true);
  const open = await loadIdentity({ tls: { certFile, keyFile }, clientCaFile: null });
  assert.ok(open !== null && admits(open, undefined), "nobody is asked");
  assert.equal(await loadIdentity({ tls: null, clientCaFile }), null);
});

test("a new certificate is served without a restart, and a broken one is not", async () => {
  await using docs = await upstream();
  await using own = await rig({ routes: { docs: docs.port } });
  const shown = async (): Promise<string | undefined> => {
    const options = { servername: host, ca: authority.certPem };
    const socket = connect({ socket: byteStreamTo(own.tunnel), ...options });
    await once(socket, "secureConnect");
    const { fingerprint256 } = socket.getPeerCertificate();
    socket.destroy();
    return fingerprint256;
  };
  const first = await shown();
  const files = [join(own.dir.path, "tls.crt"), join(own.dir.path, "tls.key")] as const;
  await writeFile(files[0], "broken");
  while (own.log.said("certificate not reloaded; the old one stays").length === 0)
    await new Promise(setImmediate);
  assert.equal(await shown(), first);
  const renewed = await authority.issueServerCertificate({ domain, days: 1, key: "ecdsa-p256" });
  await writeFile(files[0], renewed.certPem);
  await writeFile(files[1], renewed.keyPem);
  while (own.log.said("certificate reloaded").length === 0) await new Promise(setImmediate);
  assert.notEqual(await shown(), first);
});

test("a caller that goes away takes its request at the upstream with it", async () => {
  const gone = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  await using docs = await upstream((message, reply) => {
    reply.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
    message.socket.once("close", () => gone.resolve());
    begun.resolve();
  });
  await using own = await rig({ routes: { docs: docs.port } });
  const socket = connect({ socket: byteStreamTo(own.tunnel), servername: host, ca: authority.certPem });
  await once(socket, "secureConnect");
  socket.write(get("/", host));
  await begun.promise;
  await once(socket, "data");
  socket.destroy();
  await gone.promise;
});

test("large bodies pass both ways through inner TLS", async () => {
  await using docs = await upstream((_message, reply, body) => void reply.end(body));
  await using own = await rig({ routes: { docs: docs.port } }, { limits: { responseHeaderMs: 5_000 } });
  await using caller = callerOf(own.tunnel);
  const body = new PassThrough();
  const size = 4 * 2 ** 20;
  body.end(Buffer.alloc(size, "x"));
  const response = await caller.forward(aRequest({ method: "POST", body }), live());
  assert.equal((await textOf(response.body)).length, size);
});

test("draining lets a running call finish, takes nobody in, and has an end", async () => {
  const answer = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  await using docs = await upstream((_message, reply) => {
    begun.resolve();
    void answer.promise.then(() => reply.end("late"));
  });
  await using own = await rig({ routes: { docs: docs.port } });
  await using caller = callerOf(own.tunnel);
  const running = caller.forward(aRequest(), live());
  await begun.promise;
  const drained = own.tunnel.drain(5_000);
  await assert.rejects(own.tunnel.forward(aRequest(), live()), (error) => isError(error, "shutting_down"));
  answer.resolve();
  assert.equal(await textOf((await running).body), "late");
  await drained;
  await using silent = await upstream(() => undefined);
  await using stuck = await rig({ routes: { docs: silent.port } });
  void stuck.tunnel.forward(aRequest(), live()).catch(() => undefined);
  await stuck.tunnel.drain(20);
});

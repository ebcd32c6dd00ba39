/** The gateway with real TLS and HTTP clients on the ports of a sandbox made of memory. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough, Readable, type Duplex } from "node:stream";
import { test } from "node:test";
import { deferred } from "../../../src/async/index.ts";
import { isError } from "../../../src/errors.ts";
import { eventually } from "../../helpers/hub.ts";
import { full, raw, reply, startGateway, type Sandbox } from "../../helpers/gateway-rig.ts";

const docs = full("docs");

/** Reads until `mark` has come. */
async function until(socket: Duplex, mark: string): Promise<string> {
  let text = "";
  await new Promise<void>((resolve, reject) => {
    const take = (bytes: Buffer): void => {
      text += String(bytes);
      if (!text.includes(mark)) return;
      socket.off("data", take);
      resolve();
    };
    socket.on("data", take);
    socket.once("close", () => reject(new Error(`closed before ${mark}`)));
  });
  return text;
}

/** Resolves when it is closed, whatever closed it. */
async function closed(stream: Readable): Promise<void> {
  if (!stream.destroyed) await new Promise<void>((resolve) => stream.once("close", resolve));
}

function rpc(sandbox: Sandbox, method: string, params: unknown, headers: Record<string, string> = {}) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 7, method, params });
  const type = { "content-type": "application/json", accept: "application/json, text/event-stream" };
  return sandbox.ask(`https://${docs}/mcp`, { method: "POST", headers: { ...type, ...headers }, body });
}

const json = { "content-type": "application/json" };

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

test("a tool outside the grant is denied with the request's id, reaches nobody, and is in the audit and told", async () => {
  await using rig = startGateway();
  rig.local.answer = () =>
    reply(200, JSON.stringify({ jsonrpc: "2.0", id: 7, result: { content: [] } }), json);
  const sandbox = await rig.attach([{ host: "docs", tools: ["search"] }]);
  const denied = await rpc(sandbox, "tools/call", { name: "drop", arguments: {} });
  const { id, error } = JSON.parse(denied.text) as { id: number; error: { data: { reason: string } } };
  assert.deepEqual([denied.status, id, error.data.reason], [200, 7, "tool_not_allowed"]);
  assert.equal(rig.local.seen.length, 0);
  await rpc(sandbox, "tools/call", { name: "search", arguments: { q: 1 } });
  assert.equal(sandbox.attachment.calls, 1);
  await eventually(async () => sandbox.told.length === 2 && rig.audit.length === 4);
  assert.deepEqual(
    sandbox.told.map(({ tool, decision, reason, outcome }) => [tool, decision, reason, outcome]),
    [
      ["drop", "deny", "tool_not_allowed", null],
      ["search", "allow", "granted", "answered"],
    ],
  );
  const calls = rig.audit.filter(({ kind }) => kind === "call");
  const decisions = rig.audit.filter(({ kind }) => kind === "decision");
  assert.deepEqual(
    calls.map(({ tool, reason }) => [tool, reason]),
    [
      ["drop", "tool_not_allowed"],
      ["search", "granted"],
    ],
  );
  assert.deepEqual(
    calls.map(({ requestId }) => requestId),
    decisions.map(({ requestId }) => requestId),
  );
  assert.equal(calls[1]?.arguments, "digest-7");
  assert.deepEqual([decisions[1]?.way, decisions[1]?.status], ["local", 200]);
  assert.ok((decisions[1]?.bytesIn ?? 0) > 50 && (decisions[1]?.bytesOut ?? 0) > 20);
});

test("calls are counted when they are admitted, and limited in number and in rate", async () => {
  let now = 0;
  await using rig = startGateway({}, () => now);
  rig.local.answer = () =>
    reply(200, JSON.stringify({ jsonrpc: "2.0", id: 7, result: { content: [] } }), json);
  const reason = async (sandbox: Sandbox): Promise<string> => {
    const { text } = await rpc(sandbox, "tools/call", { name: "any", arguments: {} });
    const { error } = JSON.parse(text) as { error?: { data: { reason: string } } };
    return error?.data.reason ?? "answered";
  };
  const few = await rig.attach([{ host: "docs", maxCalls: 2 }], "few");
  assert.deepEqual(
    [await reason(few), await reason(few), await reason(few)],
    ["answered", "answered", "call_limit_exceeded"],
  );
  assert.equal(few.attachment.calls, 2);
  const slow = await rig.attach([{ host: "docs", rate: 0.5 }], "slow");
  assert.deepEqual([await reason(slow), await reason(slow)], ["answered", "call_rate_exceeded"]);
  now += 2_000;
  assert.equal(await reason(slow), "answered");
  const limits = rig.audit.filter(({ kind, decision }) => kind === "call" && decision === "deny");
  assert.deepEqual(
    limits.map(({ rule }) => rule),
    ["limit", "limit"],
  );
});

test("an MCP session serves only the sandbox that it was given to", async () => {
  await using rig = startGateway();
  rig.local.answer = () => reply(200, "{}", { ...json, "mcp-session-id": "s-1" });
  const [one, other] = [
    await rig.attach([{ host: "docs" }], "one"),
    await rig.attach([{ host: "docs" }], "other"),
  ];
  await rpc(one, "initialize", {});
  const mine = { "mcp-session-id": "s-1" };
  assert.equal((await rpc(one, "ping", {}, mine)).status, 200);
  const before = rig.local.seen.length;
  for (const headers of [mine, { "mcp_session-id": "s-1" }, { "mcp-session-id": "guess" }]) {
    const { status, text } = await rpc(other, "ping", {}, headers);
    assert.deepEqual([status, (JSON.parse(text) as { error: string }).error], [404, "mcp_session_unknown"]);
  }
  assert.equal(rig.local.seen.length, before);
});

test("disposing an attachment cuts its connections, gives up its requests, and leaves others alone", async () => {
  await using rig = startGateway();
  const entered = deferred<AbortSignal>();
  rig.local.answer = (request, signal) => {
    if (request.target !== "/slow") return reply(200, "quick");
    entered.resolve(signal);
    return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  };
  const [one, other] = [
    await rig.attach([{ host: "docs" }], "one"),
    await rig.attach([{ host: "docs" }], "other"),
  ];
  const idle = one.guest.dial(80);
  const slow = await one.tls(docs);
  slow.write(`GET /slow HTTP/1.1\r\nHost: ${docs}\r\n\r\n`);
  const signal = await entered.promise;
  const closed = Promise.all([once(idle, "close"), once(slow, "close")]);
  await one.attachment[Symbol.asyncDispose]();
  await closed;
  assert.ok(signal.aborted);
  assert.ok(one.guest.hostEnds.every(({ destroyed }) => destroyed));
  const late = one.guest.dial(80);
  late.on("data", () => assert.fail("nobody answers"));
  if (!late.destroyed) await once(late, "close");
  assert.equal((await other.ask(`https://${docs}/`)).text, "quick");
  assert.equal(
    rig.audit.filter(({ sandbox }) => sandbox === "one").length,
    1,
    "what was cut is in the audit",
  );
});

test("a program that goes away gives its request up, before the reply and within it", async () => {
  await using rig = startGateway();
  const sandbox = await rig.attach([{ host: "docs" }]);
  const entered = deferred<AbortSignal>();
  const body = new PassThrough();
  rig.local.answer = (request, signal) => {
    if (request.target === "/events") return reply(200, body, { "content-type": "text/event-stream" });
    entered.resolve(signal);
    return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  };
  const early = await sandbox.tls(docs);
  early.write(`GET /slow HTTP/1.1\r\nHost: ${docs}\r\n\r\n`);
  const signal = await entered.promise;
  early.destroy();
  if (!signal.aborted) await once(signal, "abort");
  const late = await sandbox.tls(docs);
  late.write(`GET /events HTTP/1.1\r\nHost: ${docs}\r\n\r\n`);
  body.write("data: 1\n\n");
  await until(late, "data: 1");
  late.destroy();
  await closed(body);
});

test("events come one by one as they are sent", async () => {
  await using rig = startGateway();
  const sandbox = await rig.attach([{ host: "docs", tools: ["a"] }]);
  const body = new PassThrough();
  rig.local.answer = () => reply(200, body, { "content-type": "text/event-stream" });
  const socket = await sandbox.tls(docs);
  socket.write(`GET /mcp HTTP/1.1\r\nHost: ${docs}\r\nAccept: text/event-stream\r\n\r\n`);
  for (let turn = 0; turn < 5; turn += 1) {
    body.write(`data: {"jsonrpc":"2.0","method":"note","params":{"turn":${turn}}}\n\n`);
    await until(socket, `"turn":${turn}`);
  }
});

test("a reader that stops stops the upstream: what is on the way stays bounded", async () => {
  await using rig = startGateway();
  const sandbox = await rig.attach([{ host: "docs" }]);
  let sent = 0;
  const endless = new Readable({
    read() {
      sent += 64 * 1_024;
      this.push(Buffer.alloc(64 * 1_024));
    },
  });
  rig.local.answer = () => reply(200, endless);
  const socket = await sandbox.tls(docs);
  socket.write(`GET /big HTTP/1.1\r\nHost: ${docs}\r\n\r\n`);
  await once(socket, "readable");
  let before = -1;
  await eventually(async () => {
    const still = sent === before;
    before = sent;
    return still;
  });
  assert.ok(sent < 8 * 2 ** 20, `${sent} bytes on the way`);
  socket.destroy();
  await closed(endless);
});

test("bytes, heads and requests per second have their bounds, told as what they are", async () => {
  await using rig = startGateway(
    { bytesFrom: 1_000, bytesTo: 100_000, headerBytes: 2_000, requestsPerSecond: 10 },
    () => 0,
  );
  const sandbox = await rig.attach([{ host: "docs" }]);
  const upload = (bytes: number) =>
    sandbox.ask(`https://${docs}/`, { method: "PUT", body: "x".repeat(bytes) });
  assert.equal((await upload(600)).status, 200);
  await assert.rejects(
    upload(600).then(({ status }) => assert.equal(status, 200)),
    "more than it may send",
  );
  assert.equal((await sandbox.ask(`https://${docs}/`, { headers: { big: "x".repeat(4_000) } })).status, 431);
  rig.local.answer = () => reply(200, "y".repeat(200_000));
  await assert.rejects(sandbox.ask(`https://${docs}/`), "more than it may get");
  const statuses: number[] = [];
  rig.local.answer = () => reply(200, "");
  const busy = await rig.attach([{ host: "docs" }], "busy");
  for (let turn = 0; turn < 12; turn += 1) statuses.push((await busy.ask(`http://${docs}/`)).status);
  assert.ok(statuses.includes(200) && statuses.at(-1) === 429, statuses.join());
});

test("a flood of connections holds up neither the worker nor another sandbox", async () => {
  await using rig = startGateway({ connections: 4 });
  const [noisy, quiet] = [
    await rig.attach([{ host: "docs" }], "noisy"),
    await rig.attach([{ host: "docs" }], "quiet"),
  ];
  for (let turn = 0; turn < 500; turn += 1) noisy.guest.dial([443, 80, 3128][turn % 3] ?? 443);
  assert.equal(
    noisy.guest.hostEnds.filter(({ destroyed }) => !destroyed).length,
    10,
    "four served, six in line",
  );
  assert.equal((await quiet.ask(`https://${docs}/`)).status, 200);
  for (const end of noisy.guest.hostEnds) end.destroy();
  assert.equal((await noisy.ask(`https://${docs}/`)).status, 200, "its own come through again");
});

test("an upstream that fails, resets or answers garbage is a reply with the layer that failed, never the end of the worker", async () => {
  await using rig = startGateway();
  const sandbox = await rig.attach([{ host: "docs" }]);
  rig.local.answer = () => Promise.reject(new Error("not ours to tell"));
  const failed = await sandbox.ask(`https://${docs}/`);
  assert.equal(failed.status, 500);
  assert.doesNotMatch(failed.text, /not ours/);
  for (const soon of [setImmediate, (reset: () => void) => setTimeout(reset, 5)]) {
    rig.local.answer = () => {
      const body = new PassThrough();
      body.write("half");
      soon(() => body.destroy(new Error("reset")));
      return reply(200, body);
    };
    await assert.rejects(sandbox.ask(`https://${docs}/`), soon.name);
  }
  rig.local.answer = () => reply(200, "ok", { "bad header": "x", good: "a\nb" });
  await sandbox.ask(`https://${docs}/`).catch(() => undefined);
  rig.local.answer = () => reply(200, "fine");
  assert.equal((await sandbox.ask(`https://${docs}/`)).text, "fine");
  await eventually(async () => rig.audit.some(({ outcome }) => outcome === "broken_off"));
});

test("programs that half-close, reset and leave in mid-stream, many times over, leave nothing behind", async () => {
  await using rig = startGateway({ connectionsPerSecond: 1e6 });
  const sandbox = await rig.attach([{ host: "docs" }]);
  let open = 0;
  rig.local.answer = () => {
    const body = new PassThrough();
    open += 1;
    body.once("close", () => (open -= 1));
    body.write("some");
    return reply(200, body);
  };
  const head = `POST / HTTP/1.1\r\nHost: ${docs}\r\nContent-Length:`;
  const manners: ((socket: Duplex) => Promise<unknown>)[] = [
    async (socket) => socket.end(`GET / HTTP/1.1\r\nHost: ${docs}\r\n\r\n`),
    async (socket) => socket.write(`${head} 100\r\n\r\nhalf`),
    async (socket) => {
      socket.write(`${head} 1\r\n\r\nx`);
      await until(socket, "some");
    },
  ];
  for (let turn = 0; turn < 20; turn += 1) {
    const ways = [80, 443].flatMap((port) => manners.map((manner) => ({ port, manner })));
    const over = ways.map(async ({ port, manner }) => {
      const socket = port === 80 ? sandbox.guest.dial(port) : await sandbox.tls(docs);
      await manner(socket);
      await new Promise((resolve) => setImmediate(resolve));
      socket.destroy();
    });
    await Promise.all(over);
  }
  await eventually(async () => open === 0 && sandbox.guest.hostEnds.every(({ destroyed }) => destroyed));
  rig.local.answer = () => reply(200, "still here");
  assert.equal((await sandbox.ask(`https://${docs}/`)).text, "still here");
  await sandbox.attachment[Symbol.asyncDispose]();
  const lines = rig.audit.filter(({ decision }) => decision === "allow");
  assert.equal(lines.length, new Set(lines.map(({ requestId }) => requestId)).size, "each is told once");
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { test } from "node:test";
import { isError } from "../../src/errors.ts";
import { TestHub } from "../helpers/hub.ts";
import { SimulatedWorker } from "../helpers/simulated-worker.ts";

interface RawReply {
  status: number | undefined;
  body: string;
}

/** A request with exactly these headers, which `fetch` would not send. */
function raw(hub: TestHub, path: string, headers: Record<string, string>, method = "GET"): Promise<RawReply> {
  const { hostname, port } = new URL(hub.url);
  return new Promise((resolve, reject) => {
    const call = request({ hostname, port, path, method, headers, setHost: false }, (response) => {
      let body = "";
      response.on("data", (chunk: Buffer) => (body += chunk.toString()));
      response.on("end", () => resolve({ status: response.statusCode, body }));
    });
    call.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve({ status: response.statusCode, body: "" });
    });
    call.on("error", reject);
    call.end();
  });
}

test("nothing but health, metrics and the description answers without a key", async () => {
  await using hub = await TestHub.start();
  for (const path of ["/healthz", "/readyz", "/metrics", "/openapi.json"]) {
    assert.equal((await hub.call(path, { key: null })).status, 200, path);
  }
  for (const path of ["/v1/jobs", "/v1/workers", "/v1/profiles", "/v1/routes", "/nowhere"]) {
    for (const key of [null, "wrong", "sp_wrong", `${hub.adminKey}x`]) {
      const reply = await hub.call(path, { key });
      assert.deepEqual([reply.status, reply.json.error.code], [401, "unauthenticated"], path);
      assert.equal(reply.headers.get("www-authenticate"), "Bearer");
    }
  }
});

test("a key does what its scopes say, no more", async () => {
  await using hub = await TestHub.start();
  const jobs = await hub.keys.addKey({ name: "j", tenant: "default", weight: 1, scopes: ["jobs"] });
  const forbidden: [string, string, string][] = [
    ["/v1/jobs", hub.workerToken, "GET"],
    ["/v1/profiles", hub.workerToken, "GET"],
    ["/v1/workers/w/drain", jobs, "POST"],
  ];
  for (const [path, key, method] of forbidden) {
    const reply = await hub.call(path, { key, method });
    assert.deepEqual([reply.status, reply.json.error.code], [403, "scope_missing"], path);
  }
  for (const path of ["/v1/jobs", "/v1/workers", "/v1/profiles", "/v1/routes"]) {
    assert.equal((await hub.call(path, { key: jobs })).status, 200, path);
  }
  const connect = (token: string): Promise<unknown> => SimulatedWorker.start({ url: hub.url, token });
  const connector = await hub.keys.addKey({ name: "c", tenant: "default", weight: 1, scopes: ["connector"] });
  await assert.rejects(connect(connector), (error) => isError(error, "scope_missing"));
  await assert.rejects(connect(jobs), (error) => isError(error, "scope_missing"));
  await assert.rejects(connect("sp_wrong"), (error) => isError(error, "unauthenticated"));
});

test("a tenant sees its own jobs only, by every path", async () => {
  await using hub = await TestHub.start();
  await using _worker = await SimulatedWorker.start({ url: hub.url, token: hub.workerToken });
  const mine = await hub.keys.addKey({ name: "a", tenant: "a", weight: 1, scopes: ["jobs"] });
  const theirs = await hub.keys.addKey({ name: "b", tenant: "b", weight: 1, scopes: ["jobs"] });
  const { id } = await hub.submit({}, mine);
  await hub.wait(id);
  const paths = ["", "/events", "/stdout", "/stderr", "/artifacts/x"];
  for (const path of paths) {
    const reply = await hub.call(`/v1/jobs/${id}${path}`, { key: theirs });
    assert.deepEqual([reply.status, reply.json.error.code], [404, "job_unknown"], path);
  }
  for (const path of ["/cancel", "/stdin"]) {
    const reply = await hub.call(`/v1/jobs/${id}${path}`, { key: theirs, method: "POST", body: "x" });
    assert.notEqual(reply.status, 200);
    if (path === "/stdin") assert.equal(reply.json.error.code, "job_unknown");
  }
  assert.deepEqual((await hub.call("/v1/jobs", { key: theirs })).json, { jobs: [], next: null });
  assert.equal((await hub.call(`/v1/jobs/${id}`, { key: mine })).status, 200);
  assert.equal((await hub.call(`/v1/jobs/${id}`)).status, 200);
  const headers = { "idempotency-key": "same" };
  const json = { profile: "shell", command: ["true"] };
  const first = await hub.call("/v1/jobs", { method: "POST", key: mine, headers, json });
  const second = await hub.call("/v1/jobs", { method: "POST", key: theirs, headers, json });
  assert.deepEqual([first.status, second.status], [201, 201]);
});

test("a foreign Host or Origin is refused on every path and on the upgrade, with a key or without", async () => {
  await using hub = await TestHub.start({ publicHosts: ["hub.example"] });
  const authorization = `Bearer ${hub.adminKey}`;
  const { host } = new URL(hub.url);
  const upgrade = {
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "sec-websocket-protocol": "sallyport.v1",
    authorization: `Bearer ${hub.workerToken}`,
  };
  const bad: Record<string, string>[] = [
    { host: "evil" },
    {},
    { host, origin: "https://evil" },
    { host, origin: "null" },
  ];
  for (const headers of bad) {
    for (const path of ["/v1/jobs", "/healthz", "/nowhere", "/v1/jobs/%zz"]) {
      const reply = await raw(hub, path, { ...headers, authorization });
      assert.equal(reply.status, 403, `${path} ${JSON.stringify(headers)}`);
      assert.match(reply.body, /origin_denied/);
    }
    const reply = await raw(hub, "/v1/connect", { ...headers, ...upgrade });
    assert.equal(reply.status, 403, JSON.stringify(headers));
  }
  for (const name of [host, "localhost", "hub.example"]) {
    assert.equal((await raw(hub, "/v1/jobs", { host: name, authorization })).status, 200);
    assert.equal((await raw(hub, "/v1/connect", { host: name, ...upgrade })).status, 101);
  }
});

test("the request's id is kept when it is sane and made when it is not", async () => {
  await using hub = await TestHub.start();
  const sane = await hub.call("/healthz", { headers: { "x-request-id": "abc-1.2_3" } });
  assert.equal(sane.headers.get("x-request-id"), "abc-1.2_3");
  const odd = await hub.call("/healthz", { headers: { "x-request-id": "a b" } });
  assert.match(odd.headers.get("x-request-id") ?? "", /^[0-9a-f-]{36}$/);
});

test("a body that is too large is refused even to a caller that reads only once it sent all of it", async () => {
  await using hub = await TestHub.start();
  const { hostname, port } = new URL(hub.url);
  const socket = connect(Number(port), hostname);
  socket.pause();
  const size = 97 * 2 ** 20;
  const head = [
    "POST /v1/jobs HTTP/1.1",
    `host: ${hostname}:${port}`,
    `authorization: Bearer ${hub.adminKey}`,
    "content-type: application/json",
    `content-length: ${size}`,
    "",
    "",
  ];
  socket.write(head.join("\r\n"));
  const block = Buffer.alloc(2 ** 20, " ");
  for (let sent = 0; sent < size; sent += block.length) if (!socket.write(block)) await once(socket, "drain");
  const answered = once(socket, "data") as Promise<[Buffer]>;
  socket.resume();
  const [reply] = await answered;
  socket.destroy();
  assert.match(reply.toString(), /^HTTP\/1\.1 413 [^]*body_too_large/);
});

test("no key, environment, code or stdin of a job ever stands in a log line", async () => {
  await using hub = await TestHub.start();
  await using _worker = await SimulatedWorker.start({ url: hub.url, token: hub.workerToken });
  const secret = "s3cr3t-in-a-job";
  const { id } = await hub.submit({
    command: ["echo", secret],
    env: { TOKEN: secret },
    stdin: secret,
    files: [{ path: "f", text: secret }],
  });
  await hub.wait(id);
  await hub.call("/v1/jobs", {
    method: "POST",
    json: { profile: "shell", command: [secret], env: { "1": secret } },
  });
  await hub.call("/v1/jobs", { key: `sp_${secret}` });
  await hub.call(`/v1/jobs/${id}/cancel`, { method: "POST" });
  assert.ok(hub.lines.length > 0);
  for (const line of hub.lines) {
    for (const text of [secret, hub.adminKey, hub.workerToken]) assert.ok(!line.includes(text), line);
  }
});

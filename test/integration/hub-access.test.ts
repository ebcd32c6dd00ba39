import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { test } from "node:test";
import { isError, SallyportError } from "../../src/errors.ts";
import { eventually, TestHub } from "../helpers/hub.ts";
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
    for (const path of ["/v1/jobs", "/healthz", "/nowhere"]) {
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

test("the description lists every path the hub answers, and is valid JSON Schema by reference", async () => {
  await using hub = await TestHub.start();
  const { paths, openapi } = JSON.parse((await hub.call("/openapi.json", { key: null })).text) as {
    openapi: string;
    paths: Record<string, Record<string, { summary?: string; responses?: object }>>;
  };
  assert.match(openapi, /^3\.1/);
  assert.deepEqual(
    Object.entries(paths)
      .flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method} ${path}`))
      .sort(),
    [
      "get /healthz",
      "get /metrics",
      "get /openapi.json",
      "get /readyz",
      "get /v1/jobs",
      "get /v1/jobs/{id}",
      "get /v1/jobs/{id}/artifacts/{*}",
      "get /v1/jobs/{id}/events",
      "get /v1/jobs/{id}/stderr",
      "get /v1/jobs/{id}/stdout",
      "get /v1/profiles",
      "get /v1/routes",
      "get /v1/workers",
      "post /v1/jobs",
      "post /v1/jobs/{id}/cancel",
      "post /v1/jobs/{id}/stdin",
      "post /v1/workers/{id}/drain",
    ],
  );
  for (const methods of Object.values(paths)) {
    for (const operation of Object.values(methods)) assert.ok(operation.summary && operation.responses);
  }
});

test("metrics are well-formed and count what happened", async () => {
  await using hub = await TestHub.start();
  await using _worker = await SimulatedWorker.start({ url: hub.url, token: hub.workerToken });
  await hub.wait((await hub.submit()).id);
  const { text, headers } = await hub.call("/metrics", { key: null });
  assert.match(headers.get("content-type") ?? "", /^text\/plain/);
  for (const line of text.split("\n").filter((line) => line !== "")) {
    assert.match(line, /^(# (HELP|TYPE) sallyport_\w+ .+|sallyport_\w+(\{[^{}]*\})? [-+.\deNaInf]+)$/, line);
  }
  assert.match(text, /sallyport_jobs_ended_total\{state="succeeded",reason="exited"\} 1/);
  assert.match(text, /sallyport_offers_total\{outcome="accepted"\} 1/);
  assert.match(text, /sallyport_workers\{state="ready"\} 1/);
  assert.match(text, /sallyport_dispatch_seconds_count 1/);
  assert.match(text, /sallyport_store_seconds_count\{operation="jobs\.submit"\} 1/);
  assert.match(text, /sallyport_event_loop_lag_seconds/);
});

test("workers and profiles are told as the fleet is, and remembered when it is gone", async () => {
  await using hub = await TestHub.start();
  const worker = await SimulatedWorker.start({
    url: hub.url,
    token: hub.workerToken,
    workerId: "w",
    labels: { zone: "a" },
  });
  const online = (await hub.call("/v1/workers")).json as unknown as { workers: Record<string, unknown>[] };
  const [shown] = online.workers;
  assert.equal(shown?.["state"], "ready");
  assert.deepEqual(shown?.["labels"], { zone: "a" });
  assert.deepEqual(shown?.["profiles"], ["shell", "python"]);
  assert.equal(shown?.["hubId"], hub.hub.id);
  const profiles = async (): Promise<unknown> =>
    (
      (await hub.call("/v1/profiles")).json as unknown as { profiles: { name: string; workers: number }[] }
    ).profiles.map(({ name, workers }) => [name, workers]);
  assert.deepEqual(await profiles(), [
    ["python", 1],
    ["shell", 1],
  ]);
  await worker[Symbol.asyncDispose]();
  await eventually(async () => {
    const { workers } = (await hub.call("/v1/workers")).json as unknown as { workers: { state: string }[] };
    return workers[0]?.state === "offline";
  });
  assert.deepEqual(await profiles(), [
    ["python", 0],
    ["shell", 0],
  ]);
  assert.deepEqual((await hub.call("/v1/routes")).json, { routes: [] });
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

test("store trouble is told by code, nothing is half-done, and the hub goes on when it is over", async () => {
  let failing = false;
  await using hub = await TestHub.start({
    wrapStore: (store) => ({
      ...store,
      leases: store.leases,
      log: store.log,
      fleet: store.fleet,
      prune: (before) => store.prune(before),
      [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
      check: async () => {
        if (failing) throw new SallyportError("store_full", "the disk is full");
        await store.check();
      },
      jobs: new Proxy(store.jobs, {
        get: (jobs, key) =>
          key === "submit"
            ? async (...args: Parameters<typeof jobs.submit>) => {
                if (failing) throw new SallyportError("store_full", "the disk is full");
                return await jobs.submit(...args);
              }
            : (Reflect.get(jobs, key, jobs) as () => unknown).bind(jobs),
      }),
    }),
  });
  await using _worker = await SimulatedWorker.start({ url: hub.url, token: hub.workerToken });
  failing = true;
  const refused = await hub.call("/v1/jobs", { method: "POST", json: { profile: "shell", command: ["x"] } });
  assert.deepEqual([refused.status, refused.json.error.code], [507, "store_full"]);
  const ready = await hub.call("/readyz");
  assert.equal(ready.status, 503);
  assert.match(ready.text, /store_full/);
  failing = false;
  assert.deepEqual((await hub.call("/v1/jobs")).json, { jobs: [], next: null });
  assert.equal((await hub.wait((await hub.submit()).id)).state, "succeeded");
});

test("an unforeseen failure tells its place in the log, not its text", async () => {
  await using hub = await TestHub.start({
    wrapStore: (store) => ({
      jobs: store.jobs,
      leases: store.leases,
      log: store.log,
      check: () => store.check(),
      prune: (before) => store.prune(before),
      [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
      fleet: {
        saveProfiles: (...args) => store.fleet.saveProfiles(...args),
        profiles: () => Promise.reject(new TypeError("a text that stays inside")),
        workers: () => store.fleet.workers(),
      },
    }),
  });
  const reply = await hub.call("/v1/profiles", { headers: { "x-request-id": "find-me" } });
  assert.deepEqual([reply.status, reply.json.error.code], [500, "internal"]);
  assert.doesNotMatch(reply.text, /stays inside/);
  assert.equal(reply.json.error.details["requestId"], "find-me");
  const logged = hub.lines.filter((line) => line.includes("find-me"));
  assert.equal(logged.length, 1);
  assert.match(logged[0] ?? "", /stays inside/);
});

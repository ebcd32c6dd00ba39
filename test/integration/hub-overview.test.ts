import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, TestHub } from "../helpers/hub.ts";
import { SimulatedWorker } from "../helpers/simulated-worker.ts";

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

test("the description names the type of every reply, and which calls need no key", async () => {
  await using hub = await TestHub.start();
  await using _worker = await SimulatedWorker.start({ url: hub.url, token: hub.workerToken });
  interface Operation {
    security?: object[];
    requestBody?: { content: object };
    responses: Record<string, { content?: Record<string, object> }>;
  }
  const { paths } = JSON.parse((await hub.call("/openapi.json", { key: null })).text) as {
    paths: Record<string, Record<string, Operation>>;
  };
  const { id } = await hub.submit();
  await hub.wait(id);
  for (const [path, operation] of Object.entries(paths).map(([name, { get }]) => [name, get] as const)) {
    if (operation === undefined || path.includes("artifacts")) continue;
    const isOpen = (await hub.call(path.replace("{id}", id), { key: null })).status !== 401;
    assert.equal(operation.security?.length === 0, isOpen, path);
    const { status, headers } = await hub.call(path.replace("{id}", id));
    const type = (headers.get("content-type") ?? "").split(";")[0];
    assert.deepEqual(Object.keys(operation.responses[status]?.content ?? {}), [type], path);
  }
  const submit = paths["/v1/jobs"]?.["post"]?.responses["200"]?.content ?? {};
  assert.deepEqual(Object.keys(submit), ["application/json", "text/event-stream"]);
  const stdin = paths["/v1/jobs/{id}/stdin"]?.["post"]?.requestBody?.content ?? {};
  assert.deepEqual(Object.keys(stdin), ["application/octet-stream"]);
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

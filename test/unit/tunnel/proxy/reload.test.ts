import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { isError, SallyportError } from "../../../../src/errors.ts";
import { aRequest, domain, live, rig, textOf } from "./rig.ts";
import { rawUpstream, upstream } from "./upstream.ts";

test("a reload swaps routes at once while running calls finish on the old ones", async () => {
  const answer = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  await using old = await upstream((_message, reply) => {
    reply.write("begun ");
    begun.resolve();
    void answer.promise.then(() => reply.end("and ended"));
  });
  await using fresh = await upstream((_message, reply) => void reply.end("fresh"));
  await using own = await rig({ routes: { docs: old.port, gone: old.port } });
  const running = [aRequest(), aRequest({ host: `gone.${domain}` })].map((request) =>
    own.tunnel.forward(request, live()),
  );
  await begun.promise;
  await own.next({ routes: { docs: fresh.port } });
  await own.tunnel.reload();
  const swapped = await own.tunnel.forward(aRequest(), live());
  assert.equal(await textOf(swapped.body), "fresh");
  const removed = own.tunnel.forward(aRequest({ host: `gone.${domain}` }), live());
  await assert.rejects(removed, (error) => isError(error, "route_unknown"));
  answer.resolve();
  for (const response of await Promise.all(running))
    assert.equal(await textOf(response.body), "begun and ended");
});

test("calls made all through many reloads all succeed", async () => {
  await using docs = await upstream();
  await using own = await rig({ routes: { docs: docs.port } });
  const over = new AbortController();
  const callers = Array.from({ length: 4 }, async () => {
    let calls = 0;
    for (; !over.signal.aborted; calls += 1)
      assert.equal(await textOf((await own.tunnel.forward(aRequest(), live())).body), "ok");
    return calls;
  });
  for (let at = 0; at < 10; at += 1) await own.tunnel.reload();
  over.abort();
  const calls = await Promise.all(callers);
  assert.equal(
    docs.requests.length,
    calls.reduce((sum, each) => sum + each, 0),
  );
});

test("a file that does not hold keeps the old one", async () => {
  await using docs = await upstream();
  const fault = new SallyportError("config_invalid", "config.yaml:3: no");
  let isBad = true;
  let good: (() => Promise<void>) | undefined;
  await using own = await rig(
    { routes: { docs: docs.port } },
    { readConfig: () => (isBad ? Promise.reject(fault) : Promise.reject(new Error("unexpected"))) },
  );
  good = () => own.tunnel.reload();
  await assert.rejects(good, (error) => error === fault);
  isBad = false;
  assert.equal((await own.tunnel.forward(aRequest(), live())).status, 200);
});

test("health says which layer of a route fails, and tells when that changes", async () => {
  await using docs = await upstream();
  const gone = await rawUpstream(() => undefined);
  await gone[Symbol.asyncDispose]();
  await using own = await rig({
    routes: { docs: docs.port, down: gone.port, outside: { host: "192.0.2.1", port: 80 } },
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  using _watch = own.tunnel.onChange(resolve);
  await promise;
  const states = own.tunnel.routes().map(({ name, state, layer }) => [name, state, layer]);
  assert.deepEqual(states, [
    ["docs", "up", null],
    ["down", "down", "dial"],
    ["outside", "down", "ip"],
  ]);
  const changed = Promise.withResolvers<void>();
  using _again = own.tunnel.onChange(() => changed.resolve());
  await own.next({ routes: { docs: docs.port } });
  await own.tunnel.reload();
  await changed.promise;
  assert.deepEqual(
    own.tunnel.routes().map(({ host }) => host),
    [`docs.${domain}`],
  );
});

test("an event stream runs on through a reload and ends with the tunnel", async () => {
  await using docs = await upstream((_message, reply) => {
    reply.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
  });
  const own = await rig({ routes: { docs: docs.port } });
  const { body } = await own.tunnel.forward(aRequest(), live());
  await once(body, "data");
  await own.tunnel.reload();
  assert.equal(body.destroyed, false);
  await own[Symbol.asyncDispose]();
  await assert.rejects(textOf(body));
});

import assert from "node:assert/strict";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { SallyportError } from "../../src/errors.ts";
import { TestHub } from "../helpers/hub.ts";
import { SimulatedWorker } from "../helpers/simulated-worker.ts";
import { storeWith } from "../helpers/store.ts";

test("store trouble is told by code, nothing is half-done, and the hub goes on when it is over", async () => {
  let failing = false;
  await using hub = await TestHub.start({
    wrapStore: (store) =>
      storeWith(store, {
        check: async () => {
          if (failing) throw new SallyportError("store_full", "the disk is full");
          await store.check();
        },
        jobs: {
          ...store.jobs,
          submit: async (...args) => {
            if (failing) throw new SallyportError("store_full", "the disk is full");
            return await store.jobs.submit(...args);
          },
        },
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
    wrapStore: (store) =>
      storeWith(store, {
        fleet: {
          ...store.fleet,
          profiles: () => Promise.reject(new TypeError("a text that stays inside")),
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

test("an artifact that is removed while it is read breaks off, and is never taken for a short one", async () => {
  const whole = Buffer.alloc(600_000, "x");
  await using hub = await TestHub.start({
    wrapStore: (store) =>
      storeWith(store, {
        jobs: {
          ...store.jobs,
          artifact: async () => ({
            size: whole.length,
            read: async (from, to) => (from === 0 ? whole.subarray(from, to) : new Uint8Array()),
          }),
        },
      }),
  });
  await using _worker = await SimulatedWorker.start({ url: hub.url, token: hub.workerToken });
  const { id } = await hub.submit();
  const { hostname, port } = new URL(hub.url);
  const request = (path: string): string =>
    `GET ${path} HTTP/1.1\r\nhost: ${hostname}\r\nauthorization: Bearer ${hub.adminKey}\r\n\r\n`;
  const socket = connect(Number(port), hostname);
  socket.write(request(`/v1/jobs/${id}/artifacts/a`) + request("/healthz"));
  const replies = await text(socket).catch((error: NodeJS.ErrnoException) => error.code);
  assert.doesNotMatch(String(replies), /"ok":true/, "the next reply stands where the rest should");
});

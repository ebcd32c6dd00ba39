import assert from "node:assert/strict";
import { Agent, request, type ClientRequest, type IncomingMessage } from "node:http";
import { test } from "node:test";
import { printMuch } from "../helpers/hub-output.ts";
import { workerOf } from "../helpers/hub-workers.ts";
import { TestHub } from "../helpers/hub.ts";

test("HEAD is answered with the head of what GET is answered with", async (t) => {
  await using hub = await TestHub.start();
  await using _worker = await workerOf(hub, { run: printMuch });
  const { id } = await hub.submit();
  await hub.wait(id);
  const paths = [
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/v1/jobs",
    `/v1/jobs/${id}`,
    `/v1/jobs/${id}/stdout`,
    `/v1/jobs/${id}/stdout?follow`,
    `/v1/jobs/${id}/events`,
    `/v1/jobs/${id}/artifacts/none`,
    "/v1/jobs/job_00000000000000000000000000",
    "/v1/workers",
    "/v1/profiles",
    "/v1/routes",
  ];
  const names = ["content-type", "content-length", "accept-ranges", "x-job-id"];
  for (const path of paths) {
    await t.test(path.replace(id, "ID"), async () => {
      const [head, get] = [await hub.call(path, { method: "HEAD" }), await hub.call(path)];
      assert.equal(head.text, "");
      assert.equal(head.status, get.status);
      for (const name of names) {
        // a length may stand in for the parts of a body whose length is not known before
        if (name === "content-length" && get.headers.get(name) === null) continue;
        assert.equal(head.headers.get(name)?.split(";")[0], get.headers.get(name)?.split(";")[0], name);
      }
    });
  }
  await t.test("a range", async () => {
    const headers = { range: "bytes=2-4" };
    const head = await hub.call(`/v1/jobs/${id}/stdout`, { method: "HEAD", headers });
    assert.equal(head.status, 206);
    assert.equal(head.headers.get("content-length"), "3");
  });
  const { text } = await hub.call("/metrics");
  assert.match(text, /^sallyport_watched_jobs 0$/m, "nothing of the job is held open");
});

test("HEAD does not wait for the end of what GET would follow", async () => {
  await using hub = await TestHub.start();
  const { id } = await queuedJob(hub);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    for (const path of [`/v1/jobs/${id}/events`, `/v1/jobs/${id}/stdout?follow`, "/healthz"]) {
      assert.equal((await headOver(agent, hub, path)).statusCode, 200, path);
    }
  } finally {
    agent.destroy();
  }
});

/** A job that nobody takes */
async function queuedJob(hub: TestHub): Promise<{ id: string }> {
  const worker = await workerOf(hub);
  await worker[Symbol.asyncDispose]();
  return await hub.submit();
}

function headOver(agent: Agent, hub: TestHub, path: string): Promise<IncomingMessage> {
  const headers = { authorization: `Bearer ${hub.adminKey}` };
  return replyTo(request(`${hub.url}${path}`, { method: "HEAD", agent, headers }));
}

/** Once its body was read */
function replyTo(sent: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    sent.once("response", (reply) => reply.resume().once("end", () => resolve(reply)));
    sent.once("error", reject).end();
  });
}

test("a method that a path has no work for is refused with 405, and allow names those that go", async () => {
  await using hub = await TestHub.start();
  const refused = async (method: string, path: string, init: object = {}): Promise<unknown> => {
    const { status, headers, json } = await hub.call(path, { method, ...init });
    assert.equal(json.error.details["method"], method);
    return [status, json.error.code, headers.get("allow")];
  };
  const get = [405, "method_unsupported", "GET, HEAD"];
  assert.deepEqual(await refused("DELETE", "/v1/jobs"), [405, "method_unsupported", "GET, HEAD, POST"]);
  assert.deepEqual(await refused("OPTIONS", "/v1/jobs/x/cancel"), [405, "method_unsupported", "POST"]);
  assert.deepEqual(await refused("PUT", "/healthz", { key: null }), get);
  const body = { body: "{", headers: { "content-type": "text/plain" } };
  assert.deepEqual(await refused("POST", "/v1/jobs/x/artifacts/a/b", body), get);
  assert.equal((await hub.call("/v1/jobs", { method: "DELETE", key: null })).status, 401);
  assert.equal((await hub.call("/v1/job", { method: "DELETE" })).json.error.code, "path_unknown");
  const neighbour = await hub.call("/v1/neighbour/fleet", { method: "DELETE" });
  assert.notEqual(neighbour.json.error.code, "method_unsupported", "other hubs' paths are told to nobody");
});

test("a client that offers HTTP/2 with its request is answered in HTTP/1.1", async () => {
  await using hub = await TestHub.start();
  const offer = { connection: "Upgrade, HTTP2-Settings", upgrade: "h2c", "http2-settings": "AAMAAABk" };
  const reply = await replyTo(request(`${hub.url}/healthz`, { headers: offer, agent: false }));
  assert.equal(reply.statusCode, 200);
});

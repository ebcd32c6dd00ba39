import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer } from "node:net";
import { test } from "node:test";
import { createClient, type JobEvent } from "../../../src/client/index.ts";
import { event, jobView, json, result, scriptedHub, sse, type Handler } from "./scripted-hub.ts";

const view = jobView({});
const request = { profile: "python", code: "print(1)" };
const key = "sp_test";

async function collect(events: AsyncIterable<JobEvent>): Promise<JobEvent[]> {
  return await Array.fromAsync(events);
}

test("a submission carries the key and an idempotency key, and returns the job", async () => {
  let headers: Record<string, unknown> = {};
  await using hub = await scriptedHub((req, res) => {
    headers = req.headers;
    return json(201, view)(req, res);
  });
  const job = await createClient({ url: hub.url, key }).jobs.submit(request);
  assert.equal(job.id, "job_1");
  assert.equal(headers["authorization"], "Bearer sp_test");
  assert.match(String(headers["idempotency-key"]), /^[0-9a-f-]{36}$/);
  assert.deepEqual(hub.seen, ["POST /v1/jobs"]);
});

test("a submission whose connection broke is sent again under the same key", async () => {
  const keys: unknown[] = [];
  const noting =
    (handler: Handler): Handler =>
    (req, res) => {
      keys.push(req.headers["idempotency-key"]);
      return handler(req, res);
    };
  await using hub = await scriptedHub(
    noting((req) => void req.socket.destroy()),
    noting(json(200, view)),
  );
  assert.equal((await createClient({ url: hub.url, key }).jobs.submit(request)).id, "job_1");
  assert.equal(keys.length, 2);
  assert.equal(keys[0], keys[1]);
});

test("a submission that finds its kept connection closed is sent again over a new one, under the same key", async () => {
  const keys: unknown[] = [];
  const connections = new Set<unknown>();
  await using hub = await scriptedHub((req, res) => {
    connections.add(req.socket);
    keys.push(req.headers["idempotency-key"]);
    if (keys.length === 2) req.socket.destroy();
    else json(201, view)(req, res);
  });
  const client = createClient({ url: hub.url, key });
  await client.jobs.submit(request);
  await client.jobs.submit(request);
  const [first, broken, again] = keys;
  assert.equal(keys.length, 3);
  assert.equal(broken, again);
  assert.notEqual(first, broken);
  assert.equal(connections.size, 2, "the second submission used the first one's connection");
});

test("a submission that a hub refuses because it is about to stop is sent again: another may be behind the same name", async () => {
  const leaving = { code: "hub_draining", message: "this hub is about to stop", details: {} };
  await using hub = await scriptedHub(json(503, { error: leaving }), json(201, view));
  assert.equal((await createClient({ url: hub.url, key }).jobs.submit(request)).id, "job_1");
  assert.deepEqual(hub.seen, ["POST /v1/jobs", "POST /v1/jobs"]);
});

test("an error the hub answers arrives with code, message and details", async () => {
  const wire = { code: "profile_unknown", message: "no profile x", details: { known: ["python"] } };
  await using hub = await scriptedHub(json(404, { error: wire }));
  await assert.rejects(createClient({ url: hub.url, key }).jobs.submit(request), {
    code: "profile_unknown",
    message: "no profile x",
    details: { known: ["python"] },
  });
});

test("nobody listening is hub_unreachable with the URL and a fix, without a second try", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  const url = `http://127.0.0.1:${address.port}`;
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(createClient({ url, key }).jobs.submit(request), (error) => {
    assert.ok(error instanceof Error && "code" in error && "details" in error);
    assert.equal(error.code, "hub_unreachable");
    assert.match(error.message, new RegExp(`no hub answers at ${url}`));
    assert.match((error.details as { fix: string }).fix, /sallyport dev/);
    return true;
  });
});

test("a reply no hub would give is told as such", async () => {
  await using proxy = await scriptedHub((_req, res) => void res.writeHead(502).end("<h1>Bad gateway</h1>"));
  await assert.rejects(createClient({ url: proxy.url, key }).jobs.get("job_1"), { code: "hub_unreachable" });
  await using other = await scriptedHub(json(200, { hello: "world" }));
  await assert.rejects(createClient({ url: other.url, key }).jobs.get("job_1"), {
    code: "protocol_violation",
  });
});

test("a redirect is not followed, so the key goes nowhere else", async () => {
  await using target = await scriptedHub(json(200, view));
  await using hub = await scriptedHub((_req, res) => void res.writeHead(307, { location: target.url }).end());
  await assert.rejects(createClient({ url: hub.url, key }).jobs.get("job_1"), { code: "hub_unreachable" });
  assert.deepEqual(target.seen, []);
});

test("events go on behind the last one after a cut connection, nothing twice", async () => {
  const start =
    event("0:0", "queued", { job: "job_1", at: 1 }) +
    event("1:0", "leased", { attempt: 1, worker: "w", at: 1 }) +
    event("1:9", "stdout", { at: 1, offset: 0, text: "4" });
  let resumedFrom: unknown;
  const rest: Handler = (req, res) => {
    resumedFrom = req.headers["last-event-id"];
    const binary = Buffer.from([0, 255]).toString("base64");
    return sse(
      event("1:12", "stdout", { at: 2, offset: 1, base64: binary }) +
        event("1:12:end", "finished", { result }),
    )(req, res);
  };
  await using hub = await scriptedHub(
    sse(`${start}id: 1:10\nevent: stdout\ndata: {"off`, { cut: true, headers: { "x-job-id": "job_1" } }),
    (req) => void req.socket.destroy(),
    rest,
  );
  const retries: string[] = [];
  const job = await createClient({ url: hub.url, key }).jobs.run(request, {
    onRetry: (error) => retries.push(error.code),
  });
  const events = await collect(job.events);
  assert.deepEqual(
    events.map((entry) => entry.type),
    ["queued", "leased", "stdout", "stdout", "finished"],
  );
  const printed = events.flatMap((entry) => (entry.type === "stdout" ? [entry.bytes] : []));
  assert.deepEqual(Buffer.concat(printed), Buffer.from([0x34, 0, 255]));
  assert.equal(resumedFrom, "1:9");
  assert.deepEqual(retries, ["hub_unreachable", "hub_unreachable"]);
  assert.deepEqual(hub.seen, ["POST /v1/jobs", "GET /v1/jobs/job_1/events", "GET /v1/jobs/job_1/events"]);
});

test("events end when the hub says that nothing is left, and give up when patience is over", async () => {
  await using done = await scriptedHub((_req, res) => void res.writeHead(204).end());
  const options = { lastEventId: "1:12:end" };
  assert.deepEqual(await collect(createClient({ url: done.url, key }).jobs.events("job_1", options)), []);
  await using broken = await scriptedHub((req) => void req.socket.destroy());
  const events = createClient({ url: broken.url, key }).jobs.events("job_1", { patienceMs: 1 });
  await assert.rejects(collect(events), { code: "hub_unreachable" });
});

test("an error another try cannot help with ends the events at once", async () => {
  await using hub = await scriptedHub(json(404, { error: { code: "job_unknown", message: "no job" } }));
  await assert.rejects(collect(createClient({ url: hub.url, key }).jobs.events("job_1")), {
    code: "job_unknown",
  });
  assert.equal(hub.seen.length, 1);
});

test("an aborted signal ends the events with its own reason", async () => {
  await using hub = await scriptedHub((_req, res) => {
    res.writeHead(200, { "content-type": "text/event-stream" });
    res.write(event("0:0", "queued", { job: "job_1", at: 1 }));
  });
  const reason = new Error("enough");
  const controller = new AbortController();
  const { signal } = controller;
  await assert.rejects(
    async () => {
      for await (const entry of createClient({ url: hub.url, key }).jobs.events("job_1", { signal })) {
        assert.equal(entry.type, "queued");
        controller.abort(reason);
      }
    },
    (error) => error === reason,
  );
});

test("stdin of any size arrives whole", async () => {
  const hash = createHash("sha256");
  let size = 0;
  await using hub = await scriptedHub(async (req, res) => {
    for await (const chunk of req) {
      hash.update(chunk as Buffer);
      size += (chunk as Buffer).length;
    }
    res.writeHead(204).end();
  });
  const block = Buffer.alloc(64 * 1024, 7);
  const sent = createHash("sha256");
  async function* blocks() {
    for (let count = 0; count < 300; count += 1) {
      sent.update(block);
      yield block;
    }
  }
  await createClient({ url: hub.url, key }).jobs.stdin("job_1", blocks());
  assert.equal(size, 300 * block.length);
  assert.equal(hash.digest("hex"), sent.digest("hex"));
  assert.deepEqual(hub.seen, ["POST /v1/jobs/job_1/stdin"]);
});

test("stdin is read no further ahead than the hub takes it", async () => {
  await using hub = await scriptedHub(() => undefined);
  const controller = new AbortController();
  let read = 0;
  async function* endless() {
    for (;;) {
      read += 2 ** 20;
      yield Buffer.alloc(2 ** 20);
      if (read > 500 * 2 ** 20) throw new Error("nothing holds the reader back");
    }
  }
  const { signal } = controller;
  const upload = createClient({ url: hub.url, key }).jobs.stdin("job_1", endless(), { signal });
  const settled = upload.catch((error: unknown) => error);
  for (let before = -1; before !== read;) {
    before = read;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  controller.abort(new Error("enough"));
  assert.equal(((await settled) as Error).message, "enough");
  assert.ok(read < 100 * 2 ** 20, `read ${read} bytes ahead`);
});

test("an answer before all of stdin was sent ends the upload with it", async () => {
  await using hub = await scriptedHub((_req, res) => {
    const body = JSON.stringify({ error: { code: "stdin_closed", message: "the program closed its stdin" } });
    res.writeHead(409, { "content-type": "application/json" }).end(body);
  });
  async function* endless() {
    for (;;) {
      yield Buffer.alloc(1024);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
  await assert.rejects(createClient({ url: hub.url, key }).jobs.stdin("job_1", endless()), {
    code: "stdin_closed",
  });
});

test("an error of the source itself comes through as it is", async () => {
  await using hub = await scriptedHub(() => undefined);
  const reason = new Error("disk gone");
  async function* failing() {
    yield Buffer.from("a");
    await Promise.reject(reason);
  }
  await assert.rejects(
    createClient({ url: hub.url, key }).jobs.stdin("job_1", failing()),
    (e) => e === reason,
  );
});

test("an artifact's path is encoded part by part, and a cut download is an error", async () => {
  await using hub = await scriptedHub((_req, res) => {
    res.writeHead(200, { "content-length": "10" });
    res.write("12345", () => void res.destroy());
  });
  const { size, bytes } = await createClient({ url: hub.url, key }).jobs.artifact("job_1", "a b/ü?.csv");
  assert.equal(size, 10);
  assert.deepEqual(hub.seen, ["GET /v1/jobs/job_1/artifacts/a%20b/%C3%BC%3F.csv"]);
  await assert.rejects(Array.fromAsync(bytes), { code: "hub_unreachable" });
});

test("an unready hub's health is an answer, not an error", async () => {
  const body = { ready: false, reasons: [{ code: "hub_draining", message: "draining" }] };
  await using hub = await scriptedHub(json(503, body));
  assert.equal((await createClient({ url: hub.url, key }).health()).ready, false);
});

test("a URL that is none is refused before anything is sent", () => {
  for (const url of ["", "hub:7070", "ftp://hub", "http://user:pass@hub"]) {
    assert.throws(() => createClient({ url, key }), { code: "config_invalid" });
  }
});

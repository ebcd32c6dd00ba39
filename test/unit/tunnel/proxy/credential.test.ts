import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { withDeadline } from "../../../../src/async/index.ts";
import { isError } from "../../../../src/errors.ts";
import { bytesBody, headerOf, type HttpRequest } from "../../../../src/exchange/index.ts";
import { throughCredential } from "../../../../src/tunnel/proxy/credential.ts";

const credential = { header: "authorization", prefix: "Bearer ", from: { env: "TOKEN" } } as const;
const request = { method: "GET", target: "/", host: "docs", headers: [] } as unknown as HttpRequest;

/** The body of a reply that came through a route with a credential; `from` is the upstream's. */
async function reply(from: PassThrough): Promise<NodeJS.ReadableStream> {
  const forward = throughCredential(
    credential,
    () => Promise.resolve("s3cret-token"),
    () => Promise.resolve({ status: 200, headers: [], body: from }),
  );
  return (await forward(request, new AbortController().signal)).body;
}

test("a reply that breaks off, before it is read or while it is, breaks off for its reader too", async () => {
  for (const breakOff of ["before", "while", "after"] as const) {
    const upstream = new PassThrough();
    upstream.on("error", () => undefined);
    upstream.write("half");
    const reset = (): void => void upstream.destroy(new Error("reset"));
    if (breakOff === "before") {
      reset();
      await once(upstream, "close").catch(() => undefined);
    }
    const body = await reply(upstream);
    if (breakOff === "while") reset();
    const read = buffer(body);
    if (breakOff === "after") setImmediate(reset);
    await assert.rejects(withDeadline(read, 2_000, breakOff), /reset|premature/i, breakOff);
  }
});

test("a secret that was read serves for five seconds; a rotated one is read again then", async (t) => {
  let now = 1_000;
  t.mock.method(performance, "now", () => now);
  let secret = "first-secret";
  let reads = 0;
  const stamped: (string | undefined)[] = [];
  const forward = throughCredential(
    credential,
    async () => {
      reads += 1;
      return secret;
    },
    async ({ headers }) => {
      stamped.push(headerOf(headers, "authorization"));
      return { status: 200, headers: [], body: bytesBody(new Uint8Array()) };
    },
  );
  const ask = () => forward(request, new AbortController().signal);
  await ask();
  secret = "second-secret";
  now += 4_999;
  await ask();
  assert.equal(reads, 1);
  now += 1;
  await ask();
  assert.equal(reads, 2);
  assert.deepEqual(stamped, ["Bearer first-secret", "Bearer first-secret", "Bearer second-secret"]);
});

test("a reply that is coded is cut, and one that says it is not passes", async () => {
  const upstream = new PassThrough();
  let coding = "GZIP";
  const forward = throughCredential(
    credential,
    async () => "s3cret-token",
    async () => ({ status: 200, headers: [["content-encoding", coding]], body: upstream }),
  );
  const ask = () => forward(request, new AbortController().signal);
  await assert.rejects(ask, (error) => isError(error, "upstream_failed"));
  assert.ok(upstream.destroyed);
  coding = "Identity";
  assert.equal((await ask()).status, 200);
});

test("a reader that leaves takes the upstream's reply with it", async () => {
  const upstream = new PassThrough();
  const body = await reply(upstream);
  (body as PassThrough).destroy();
  await withDeadline(
    new Promise((resolve) => upstream.once("close", resolve)),
    2_000,
    "the end of the reply",
  );
});

test("a secret in the name of a header is blotted out too, which comes in lower case", async () => {
  const forward = throughCredential(
    credential,
    () => Promise.resolve("S3cret-Token"),
    () => Promise.resolve({ status: 200, headers: [["x-s3cret-token", "1"]], body: new PassThrough().end() }),
  );
  const { headers } = await forward(request, new AbortController().signal);
  assert.deepEqual(headers, [["x-************", "1"]]);
});

test("a whole reply comes through without the secret (control)", async () => {
  const upstream = new PassThrough();
  upstream.end("you sent s3cret-token");
  assert.equal((await buffer(await reply(upstream))).toString(), "you sent ************");
});

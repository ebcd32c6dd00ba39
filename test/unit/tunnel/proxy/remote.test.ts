import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { isError, SallyportError } from "../../../../src/errors.ts";
import { headerOf } from "../../../../src/exchange/index.ts";
import { forwardRemote } from "../../../../src/tunnel/index.ts";
import { aRequest, authority, byteStreamTo, domain, live, remoteTo, rig, textOf } from "./rig.ts";
import { rawUpstream, upstream } from "./upstream.ts";

const failing = async (promise: Promise<unknown>): Promise<SallyportError> => {
  const error: unknown = await promise.then(
    () => assert.fail("it did not fail"),
    (cause: unknown) => cause,
  );
  assert.ok(isError(error), String(error));
  return error;
};

test("requests one after another share a byte stream, and name the request it was opened for", async () => {
  await using docs = await upstream();
  await using own = await rig({ routes: { docs: docs.port } });
  const opened: unknown[] = [];
  const remote = {
    open: async (target: unknown) => {
      opened.push(target);
      return byteStreamTo(own.tunnel);
    },
  };
  const ca = join(own.dir.path, "ca.crt");
  await writeFile(ca, authority.certPem);
  await using caller = forwardRemote({ remote, caFiles: [ca] });
  for (const id of ["request-1", "request-2"]) {
    assert.equal(await textOf((await caller.forward(aRequest({ id }), live())).body), "ok");
    await new Promise(setImmediate);
  }
  assert.deepEqual(opened, [{ host: "docs.t.test", requestId: "request-1" }]);
});

test("without the tunnel's CA nothing is opened, and the failure says what to name", async () => {
  let opened = 0;
  const remote = {
    open: async () => {
      opened += 1;
      throw new Error("unexpected");
    },
  };
  for (const deps of [{ remote }, { remote, caFiles: ["/none/ca.crt"] }]) {
    await using caller = forwardRemote(deps);
    const error = await failing(caller.forward(aRequest(), live()));
    assert.deepEqual(
      [error.code, error.details["layer"], error.details["sent"]],
      ["certificate_invalid", "inner_tls", false],
    );
    assert.match(String(error.details["fix"]), /ca\.crt/);
  }
  assert.equal(opened, 0);
});

test("a way that cannot be opened, or is cut in the handshake, sent nothing; one that is cut later may have", async () => {
  const closed = new SallyportError("channel_closed", "gone", { details: { layer: "edge" } });
  await using unopened = forwardRemote({
    remote: { open: () => Promise.reject(closed) },
    caPem: authority.certPem,
  });
  const first = await failing(unopened.forward(aRequest(), live()));
  assert.deepEqual(
    [first.code, first.details["layer"], first.details["sent"]],
    ["channel_closed", "edge", false],
  );

  await using silent = await upstream(() => undefined);
  await using own = await rig({ routes: { docs: silent.port } }, { limits: { responseHeaderMs: 5_000 } });
  await using cut = forwardRemote({
    remote: {
      open: async () => {
        const bytes = byteStreamTo(own.tunnel);
        bytes.destroy();
        return bytes;
      },
    },
    caPem: authority.certPem,
  });
  const second = await failing(cut.forward(aRequest(), live()));
  assert.deepEqual([second.details["layer"], second.details["sent"]], ["inner_tls", false]);

  const streams: ReturnType<typeof byteStreamTo>[] = [];
  await using later = forwardRemote({
    remote: {
      open: async () => {
        const bytes = byteStreamTo(own.tunnel);
        streams.push(bytes);
        return bytes;
      },
    },
    caPem: authority.certPem,
  });
  const running = failing(later.forward(aRequest(), live()));
  while (silent.requests.length === 0) await new Promise(setImmediate);
  for (const bytes of streams) bytes.destroy();
  const third = await running;
  assert.deepEqual(
    [third.code, third.details["layer"], third.details["sent"]],
    ["upstream_failed", "edge", true],
  );
  assert.equal(silent.requests.length, 1);
});

test("a failure at the far proxy is thrown here as it was there", async () => {
  const gone = await upstream();
  await gone[Symbol.asyncDispose]();
  await using broken = await rawUpstream((socket) => socket.destroy());
  await using own = await rig({ routes: { docs: gone.port, wiki: broken.port } });
  await using caller = remoteTo(own.tunnel);
  const told = async (name: string): Promise<unknown[]> => {
    const { code, details } = await failing(caller.forward(aRequest({ host: `${name}.${domain}` }), live()));
    return [code, details["layer"], details["sent"]];
  };
  assert.deepEqual(await told("docs"), ["upstream_unreachable", "dial", false]);
  assert.deepEqual(await told("wiki"), ["upstream_failed", "upstream", true]);
  assert.deepEqual(await told("none"), ["route_unknown", "route", false]);
});

test("an upstream that speaks as a hop of ours is an upstream that answered", async () => {
  await using docs = await upstream((_message, reply) => {
    reply.writeHead(502, { "x-sallyport-layer": "policy", "content-type": "application/json" });
    reply.end(JSON.stringify({ error: "tool_not_allowed", message: "not allowed", sent: false }));
  });
  await using own = await rig({ routes: { docs: docs.port } });
  await using caller = remoteTo(own.tunnel);
  const { status, headers } = await caller.forward(aRequest(), live());
  assert.deepEqual([status, headerOf(headers, "x-sallyport-layer")], [502, undefined]);
});

/** Upstreams that fail behind a connector, as the program in the sandbox sees it: its layer, once, and nobody else reached. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { test } from "node:test";
import { withDeadline } from "../../src/async/index.ts";
import { eventually, TestHub } from "../helpers/hub.ts";
import { callerAt, connectorToken, offerAt, type Caller } from "../helpers/tunnel-path.ts";
import { rig, type Rig } from "../unit/tunnel/proxy/rig.ts";
import { rawUpstream, upstream } from "../unit/tunnel/proxy/upstream.ts";

interface Way extends AsyncDisposable {
  readonly caller: Caller;
  readonly own: Rig;
}

/** A caller whose only route leads through a hub and a connector to `port`. */
async function wayTo(port: number): Promise<Way> {
  await using stack = new AsyncDisposableStack();
  const own = stack.use(await rig({ routes: { docs: port } }, { limits: { responseHeaderMs: 300 } }));
  const hub = stack.use(await TestHub.start());
  const token = await connectorToken(hub);
  stack.use(await offerAt(hub, token, own.tunnel));
  const caller = stack.use(await callerAt(hub, token));
  const owned = stack.move();
  return { caller, own, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const faults: [name: string, fault: (socket: Socket) => void][] = [
  ["resets", (socket) => void socket.resetAndDestroy()],
  ["closes without a word", (socket) => void socket.end()],
  ["answers garbage", (socket) => void socket.end("220 smtp ready\r\n")],
  ["says nothing", () => undefined],
];

for (const [name, fault] of faults) {
  test(`an upstream that ${name} is called once, and the outcome is unknown`, async () => {
    await using broken = await rawUpstream(fault);
    await using way = await wayTo(broken.port);
    const told = await withDeadline(way.caller.callTool("x"), 10_000, "an answer");
    assert.deepEqual([told.answer, told.reason, told.layer], [null, "outcome_unknown", "upstream"]);
    assert.equal(broken.asked, 1);
  });
}

test("an upstream that is down is told so, and serves when it is back", async () => {
  const gone = await upstream();
  await using way = await wayTo(gone.port);
  await gone[Symbol.asyncDispose]();
  const told = await way.caller.callTool("x");
  assert.deepEqual([told.answer, told.reason, told.layer], [null, "upstream_unreachable", "dial"]);
  await using back = await upstream();
  await way.own.next({ routes: { docs: back.port } });
  await way.own.tunnel.reload();
  await eventually(async () => (await way.caller.get()).text === "ok");
});

test("a redirect is the program's to follow: its target is reached by nobody", async () => {
  await using canary = await upstream();
  const location = `http://127.0.0.1:${canary.port}/`;
  await using redirecting = await upstream(
    (_message, reply) => void reply.writeHead(307, { location }).end(),
  );
  await using way = await wayTo(redirecting.port);
  assert.equal((await way.caller.get()).status, 307);
  assert.equal(canary.requests.length, 0);
  const control = await fetch(`http://127.0.0.1:${redirecting.port}/`);
  assert.deepEqual([control.status, canary.requests.length], [200, 1]);
});

test("a stream without end is carried event by event, ends with its reader, and holds nobody else up", async () => {
  let isLeft = false;
  await using endless = await upstream((message, reply) => {
    if (message.url !== "/events") return void reply.end("ok");
    reply.writeHead(200, { "content-type": "text/event-stream" });
    const timer = setInterval(() => reply.write(`data: ${"x".repeat(1_000)}\n\n`), 1);
    reply.once("close", () => {
      clearInterval(timer);
      isLeft = true;
    });
  });
  await using way = await wayTo(endless.port);
  const events = await way.caller.open({ path: "/events" });
  for (let seen = 0; seen < 20_000;) {
    const [chunk] = (await withDeadline(once(events, "data"), 10_000, "events")) as [Buffer];
    seen += chunk.length;
  }
  assert.equal((await way.caller.get()).text, "ok");
  assert.ok(!isLeft);
  events.destroy();
  await eventually(() => isLeft);
});

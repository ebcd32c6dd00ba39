/** The door alone: whom it takes in, and what it tells those whose request it will not carry. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { duplexPair, type Duplex } from "node:stream";
import { test } from "node:test";
import { connect } from "node:tls";
import { SallyportError } from "../../../../src/errors.ts";
import { bytesBody, type Forward } from "../../../../src/exchange/index.ts";
import { Door } from "../../../../src/tunnel/proxy/door.ts";
import { loadIdentity } from "../../../../src/tunnel/proxy/identity.ts";
import { authority, configIn, domain, folder, recordingLog, textOf, type Lines } from "./rig.ts";

const host = `docs.${domain}`;
await using dir = await folder();
const identity = await loadIdentity(await configIn(dir, { routes: {} }));
const ok: Forward = async () => ({ status: 200, headers: [], body: bytesBody(Buffer.from("carried")) });

interface Parts extends AsyncDisposable {
  door: Door;
  /** What was told of the number of callers */
  counts: number[];
  log: Lines;
  /** Both ends of a caller's new connection */
  dial: () => { near: Duplex; far: Duplex };
}

function open(over: { identity?: typeof identity; forward?: Forward; connections?: number } = {}): Parts {
  const counts: number[] = [];
  const log = recordingLog();
  const door = new Door({
    log: log.log,
    identity: () => (over.identity === undefined ? identity : over.identity),
    forward: over.forward ?? ok,
    limits: { connections: over.connections ?? 8, handshakeMs: 60_000 },
    counted: (now) => counts.push(now),
  });
  const dial = (): { near: Duplex; far: Duplex } => {
    const [near, far] = duplexPair();
    near.on("error", () => undefined);
    near.once("close", () => far.destroy());
    far.once("close", () => near.destroy());
    door.serve(far, { peer: "caller" });
    return { near, far };
  };
  return { door, counts, log, dial, [Symbol.asyncDispose]: () => door[Symbol.asyncDispose]() };
}

/** What comes back for `text` over TLS, until the end */
async function say({ dial }: Parts, text: string, servername = host): Promise<string> {
  const socket = connect({
    socket: dial().near,
    servername,
    ca: authority.certPem,
    checkServerIdentity: () => undefined,
  });
  await once(socket, "secureConnect");
  socket.write(text);
  return await textOf(socket);
}

const get = (target: string, name: string, ...headers: string[]): string =>
  [`GET ${target} HTTP/1.1`, `Host: ${name}`, "Connection: close", ...headers, "", ""].join("\r\n");

test("no more callers are taken in than may be, and one that leaves makes room", async () => {
  await using parts = open({ connections: 2 });
  const [first, second, third] = [parts.dial(), parts.dial(), parts.dial()];
  assert.deepEqual(
    [first, second, third].map(({ far }) => far.destroyed),
    [false, false, true],
  );
  assert.equal(parts.log.said("caller turned away").length, 1);
  first.far.destroy(new Error("reset"));
  await once(first.near, "close");
  assert.match(await say(parts, get("/", host)), /carried/);
  assert.deepEqual(parts.counts.slice(0, 4), [1, 2, 1, 2]);
});

test("without a certificate, while it drains and once it is over, nobody is taken in", async () => {
  await using bare = open({ identity: null });
  assert.ok(bare.dial().far.destroyed);
  await using parts = open();
  const inHandshake = parts.dial();
  await parts.door.drain();
  assert.ok(parts.dial().far.destroyed);
  assert.ok(!inHandshake.far.destroyed);
  await parts.door[Symbol.asyncDispose]();
  assert.ok(inHandshake.far.destroyed);
  await using over = open();
  await over.door[Symbol.asyncDispose]();
  assert.ok(over.dial().far.destroyed);
});

test("draining waits for the reply that is under way", async () => {
  const begun = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  await using parts = open({
    forward: async (...asked) => {
      begun.resolve();
      await answer.promise;
      return await ok(...asked);
    },
  });
  const reply = say(parts, get("/", host));
  await begun.promise;
  let drained = false;
  const draining = parts.door.drain().then(() => (drained = true));
  await new Promise(setImmediate);
  assert.equal(drained, false);
  answer.resolve();
  assert.match(await reply, /carried/);
  await draining;
});

test("only a path on the host TLS was made for is carried", async () => {
  let asked = 0;
  await using parts = open({
    forward: async (...request) => {
      asked += 1;
      return await ok(...request);
    },
  });
  const cases: [text: string, answer: RegExp, name?: string][] = [
    [get("/", `mail.${domain}`), /^HTTP\/1\.1 421 [^]*host_mismatch/],
    [get(`https://${host}/`, host), /^HTTP\/1\.1 400 /],
    [get("/", `a_b.${domain}`), /^HTTP\/1\.1 400 /, `a_b.${domain}`],
    [get("/", host, "Upgrade: websocket"), /^HTTP\/1\.1 400 /],
    [get("/", host), /^HTTP\/1\.1 421 /, ""],
  ];
  for (const [text, answer, name] of cases)
    assert.match(await say(parts, text, ...(name === undefined ? [] : [name])), answer);
  assert.equal(asked, 0);
  assert.match(await say(parts, get("/", host)), /^HTTP\/1\.1 200 /);
  assert.equal(asked, 1, "control");
});

test("a failure is told by its code, one without a code as ours and without its words", async () => {
  let failure: Error = new SallyportError("upstream_unreachable", "nobody there");
  await using parts = open({ forward: () => Promise.reject(failure) });
  assert.match(await say(parts, get("/", host)), /^HTTP\/1\.1 502 [^]*upstream_unreachable[^]*nobody there/);
  assert.deepEqual(
    parts.log.said("nobody there").map(({ code }) => code),
    ["upstream_unreachable"],
  );
  for (failure of [new TypeError("a secret"), new SallyportError("internal", "a secret")]) {
    const told = await say(parts, get("/", host));
    assert.match(told, /^HTTP\/1\.1 500 /);
    assert.doesNotMatch(told, /a secret/);
  }
});

/** The pure parts of the gateway. */
import assert from "node:assert/strict";
import { duplexPair, PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import * as fc from "fast-check";
import { countedReply, countedUpload } from "../../../src/egress/counted.ts";
import { Leaves } from "../../../src/egress/leaves.ts";
import { decide, resolveGrants } from "../../../src/egress/policy.ts";
import { RouteBook } from "../../../src/egress/routes.ts";
import { throughSessions } from "../../../src/egress/sessions.ts";
import { TokenBucket } from "../../../src/egress/token-bucket.ts";
import { Turnstile } from "../../../src/egress/turnstile.ts";
import { isError, SallyportError } from "../../../src/errors.ts";
import { bytesBody, type HttpRequest } from "../../../src/exchange/index.ts";
import { canonicalHost } from "../../../src/tunnel/index.ts";
import { full, NotingRoutes, reply } from "../../helpers/gateway-rig.ts";

const never = new AbortController().signal;

test("nothing but a granted host whose route is served is ever allowed", () => {
  const host = fc.constantFrom<string>("a.t", "b.t", "c.t", "d.t", "xa.t", "a.t.x");
  fc.assert(
    fc.property(fc.uniqueArray(host), fc.uniqueArray(host), host, (granted, served, asked) => {
      const grants = resolveGrants(
        granted.map((name) => ({ host: name })),
        (name) => name,
      );
      const decision = decide(grants, (name) => served.includes(name), asked);
      assert.equal(decision.allow, granted.includes(asked) && served.includes(asked));
      if (decision.allow) assert.equal(decision.grant.host, asked);
      else assert.equal(decision.error.code, granted.includes(asked) ? "route_unknown" : "host_not_allowed");
    }),
  );
});

test("a name stands for a full host, the local one where there are two, and no unusual spelling stands for any", () => {
  using book = new RouteBook({ local: new NotingRoutes("docs"), remote: new NotingRoutes("docs", "far") });
  assert.deepEqual(book.hosts(), [full("docs"), full("far")]);
  assert.deepEqual([book.resolve("docs"), book.resolve("FAR.t.test")], [full("docs"), full("far")]);
  assert.deepEqual(
    [book.wayOf(full("docs")), book.wayOf(full("far")), book.wayOf("docs")],
    ["local", "remote", undefined],
  );
  fc.assert(
    fc.property(fc.string({ maxLength: 12 }), (text) => {
      if (canonicalHost(text) === "docs" || canonicalHost(text) === "far") return;
      assert.throws(
        () => book.resolve(text),
        (error) => isError(error, "route_unknown"),
      );
    }),
  );
});

test("a bucket gives its burst at once and its rate over time, never more", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 1, max: 20 }),
      fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 60 }),
      (perSecond, burst, steps) => {
        let now = 0;
        let taken = 0;
        const bucket = new TokenBucket({ perSecond, burst }, () => now);
        for (const step of steps) {
          now += step;
          const isReady = bucket.waitMs === 0;
          assert.equal(bucket.take(), isReady, "it says whether there is one");
          if (isReady) taken += 1;
          while (bucket.take()) taken += 1;
          assert.ok(taken <= burst + (perSecond * now) / 1_000 + 1e-6);
          now += bucket.waitMs + 1e-6;
          assert.ok(bucket.take(), "as long as it said");
          taken += 1;
        }
      },
    ),
  );
});

test("a certificate is made once for a host, and only so many are kept", () => {
  let made = 0;
  const cert = {
    certPem: "",
    keyPem: "",
  };
  const leaves = new Leaves({
    issueLeaf: () => {
      made += 1;
      return cert;
    },
  });
  leaves.contextFor("first.t");
  for (let turn = 0; turn < 255; turn += 1) leaves.contextFor(`h${turn}.t`);
  leaves.contextFor("first.t");
  assert.deepEqual([made, leaves.size], [256, 256]);
  leaves.contextFor("one-more.t");
  leaves.contextFor("first.t");
  assert.deepEqual([made, leaves.size], [257, 256]);
  leaves.contextFor("h0.t");
  assert.equal(made, 258, "the one used longest ago was forgotten");
});

test("sessions: known after a reply named them, to these requests only, and not without bound", async () => {
  const request = (id?: string): HttpRequest => ({
    id: "r",
    method: "POST",
    host: "docs.t",
    target: "/",
    headers: id === undefined ? [] : [["mcp-session-id", id]],
    body: null,
  });
  let next = 0;
  let asked = 0;
  const make = () =>
    throughSessions(async () => {
      asked += 1;
      return reply(200, "", { "mcp-session-id": `s${next}` });
    });
  const [mine, other] = [make(), make()];
  await mine(request(), never);
  await mine(request("s0"), never);
  await assert.rejects(other(request("s0"), never), (error) => isError(error, "mcp_session_unknown"));
  const twice = {
    ...request("s0"),
    headers: [
      ["mcp-session-id", "s0"],
      ["mcp-session-id", "s1"],
    ],
  } as const;
  await assert.rejects(mine(twice, never), (error) => isError(error, "mcp_invalid"));
  assert.equal(asked, 2);
  for (next = 1; next < 1_024; next += 1) await mine(request(), never);
  await mine(request("s0"), never);
  await assert.rejects(mine(request("s1"), never), (error) => isError(error, "mcp_session_unknown"));
  await mine(request("s2"), never);
});

test("a turnstile serves so many, keeps the order, cuts what comes above the line, and everything when it closes", () => {
  const served: number[] = [];
  const sockets = Array.from({ length: 8 }, (_, number) => Object.assign(duplexPair()[0], { number }));
  const options = { atOnce: 2, waiting: 3, perSecond: 100, clock: () => 0 };
  const stile = new Turnstile<(typeof sockets)[number]>(options, ({ number }) => served.push(number));
  for (const socket of sockets) stile.enter(socket);
  assert.deepEqual(served, [0, 1]);
  assert.deepEqual(
    sockets.map(({ destroyed }) => destroyed),
    [false, false, false, false, false, true, true, true],
  );
  sockets[1]?.emit("close");
  assert.deepEqual([served, stile.size], [[0, 1, 2], 2]);
  stile[Symbol.dispose]();
  assert.ok(sockets.filter(({ number }) => number !== 1).every(({ destroyed }) => destroyed));
});

test("a turnstile takes up so many per second; whoever is gone by then costs nothing", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let now = 0;
  const pass = (ms: number): void => {
    now += ms;
    t.mock.timers.tick(ms);
  };
  const served: number[] = [];
  const sockets = Array.from({ length: 5 }, (_, number) => Object.assign(duplexPair()[0], { number }));
  const options = { atOnce: 10, waiting: 10, perSecond: 2, clock: () => now };
  const stile = new Turnstile<(typeof sockets)[number]>(options, ({ number }) => served.push(number));
  for (const socket of sockets) stile.enter(socket);
  assert.deepEqual(served, [0, 1]);
  sockets[2]?.destroy(new Error("reset"));
  pass(500);
  assert.deepEqual(served, [0, 1, 3]);
  pass(500);
  assert.deepEqual(served, [0, 1, 3, 4]);
});

test("counted bodies are the same bytes, break off at the bound, and leave what they came from as it should be", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 3_000 }),
      fc.constantFrom(countedReply, countedUpload),
      async (bytes, counted) => {
        let count = 0;
        const same = await buffer(counted(bytesBody(bytes), (more) => (count += more)));
        assert.deepEqual([Buffer.compare(same, Buffer.from(bytes)), count], [0, bytes.length]);
      },
    ),
    { numRuns: 50 },
  );
  const refuse = (): void => {
    throw new SallyportError("network_limit_exceeded", "too much");
  };
  for (const counted of [countedReply, countedUpload]) {
    const body = new PassThrough();
    const bounded = counted(body, refuse);
    body.write("x");
    await assert.rejects(buffer(bounded), (error) => isError(error, "network_limit_exceeded"));
    assert.equal(body.destroyed, counted === countedReply, "a caller keeps its connection");
    for (const [error, told] of [
      [undefined, /broke off/],
      [new Error("reset"), /reset/],
    ] as const) {
      const [early, late] = [new PassThrough(), new PassThrough()];
      for (const each of [early, late]) each.on("error", () => undefined);
      late.destroy(error);
      await new Promise((resolve) => late.once("close", resolve));
      const passing = [early, late].map((from) => buffer(counted(from, () => undefined)));
      early.destroy(error);
      for (const each of passing) await assert.rejects(each, told);
    }
  }
});

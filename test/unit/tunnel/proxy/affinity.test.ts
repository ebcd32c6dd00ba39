import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { Readable } from "node:stream";
import { test } from "node:test";
import * as fc from "fast-check";
import { isError, SallyportError } from "../../../../src/errors.ts";
import { bytesBody, headerOf, type HttpResponse } from "../../../../src/exchange/index.ts";
import type { Tunnel } from "../../../../src/tunnel/index.ts";
import { throughAffinity, type AffinityDeps } from "../../../../src/tunnel/proxy/affinity.ts";
import { SessionSeal } from "../../../../src/tunnel/proxy/sessions.ts";
import { aRequest, authority, byteStreamTo, callerOf, domain, live, rig, textOf } from "./rig.ts";
import { upstream, valuesOf, type Upstream } from "./upstream.ts";

const newKey = () => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;

test("a sealed session opens for its host and key only, unchanged", () => {
  const key = newKey();
  const [seal, twin, other] = [new SessionSeal(key), new SessionSeal(key), new SessionSeal(newKey())];
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.nat(), (connector, session, at) => {
      const id = seal.seal("docs.test", { connector, session });
      assert.match(id, /^[\x21-\x7e]+$/);
      for (const same of [seal, seal, twin, twin]) {
        assert.deepEqual(same.open("docs.test", id), { connector, session });
        assert.equal(same.seal("docs.test", { connector, session }), id);
        assert.equal(same.open("mail.test", id), null);
      }
      assert.equal(other.open("docs.test", id), null);
      const place = 4 + (at % (id.length - 5));
      const changed = `${id.slice(0, place)}${id[place] === "A" ? "B" : "A"}${id.slice(place + 1)}`;
      assert.equal(seal.open("docs.test", changed), null);
      assert.equal(seal.open("docs.test", session), null);
      assert.equal(seal.open("docs.test", `sp2.${id.slice(4)}`), null);
      assert.equal(seal.open("docs.test", id.slice(0, 4 + (at % 38))), null);
    }),
    { numRuns: 200 },
  );
});

test("of very many sessions each keeps its id, and each id its session", () => {
  const seal = new SessionSeal(newKey());
  const sessions = Array.from({ length: 1_000 }, (_, at) => ({ connector: "c", session: `s${at}` }));
  const ids = sessions.map((place) => seal.seal("docs.test", place));
  for (let round = 0; round < 2; round += 1) {
    assert.deepEqual(
      ids.map((id) => seal.open("docs.test", id)),
      sessions,
    );
    assert.deepEqual(
      sessions.map((place) => seal.seal("docs.test", place)),
      ids,
    );
  }
});

const seal = new SessionSeal(newKey());
const answer = (headers: HttpResponse["headers"]): HttpResponse => ({
  status: 200,
  headers,
  body: bytesBody(new Uint8Array()),
});

test("only a session id is sealed: none is made up, and without a key it passes as it is", async () => {
  const deps: AffinityDeps = { connector: "one", seals: () => [seal], toPeer: null };
  const none = await throughAffinity(deps, async () => answer([["x", "y"]]))(aRequest(), live());
  assert.deepEqual(none.headers, [["x", "y"]]);
  const bare = throughAffinity({ ...deps, seals: () => [] }, async ({ headers }) => answer(headers));
  const headers = [["mcp-session-id", "as-it-is"]] as const;
  assert.deepEqual((await bare(aRequest({ headers }), live())).headers, headers);
});

test("what may have arrived at the session's connector is told as it broke; anything else begins anew", async () => {
  const id = seal.seal(aRequest().host, { connector: "two", session: "s" });
  const broken = async (failure: Error, signal = live()): Promise<unknown> => {
    const toPeer = () => async () => {
      throw failure;
    };
    const deps: AffinityDeps = { connector: "one", seals: () => [seal], toPeer };
    const forward = throughAffinity(deps, () => assert.fail("it is not ours"));
    try {
      return await forward(aRequest({ headers: [["mcp-session-id", id]] }), signal);
    } catch (error) {
      return error;
    }
  };
  const sent = new SallyportError("upstream_failed", "cut", { details: { sent: true } });
  assert.equal(await broken(sent), sent);
  for (const error of [new SallyportError("route_unavailable", "gone"), new TypeError("odd")])
    assert.ok(isError(await broken(error), "mcp_session_unknown"));
  const left = new Error("the caller left");
  assert.equal(await broken(new Error("aborted"), AbortSignal.abort(left)), left);
});

const eventsOf = (text: string, type = "text/event-stream"): HttpResponse => ({
  status: 200,
  headers: [["content-type", type]],
  body: bytesBody(Buffer.from(text)),
});

test("of a stream's events only a first one that names an endpoint is touched, however it comes apart", async () => {
  const deps: AffinityDeps = { connector: "one", seals: () => [seal], toPeer: null };
  const told = async (response: HttpResponse, over = {}): Promise<string> =>
    await textOf((await throughAffinity(deps, async () => response)(aRequest(over), live())).body);
  const id = seal.seal(aRequest().host, { connector: "one", session: "" });
  const rest = "event: endpoint\ndata: /later\n\ndata: half";
  for (const [url, join] of [
    ["/messages?sessionId=a", "&"],
    ["/messages", "?"],
  ] as const) {
    const text = `: hello\n\nevent: endpoint\ndata: ${url}\n\n${rest}`;
    const expected = `: hello\n\nevent: endpoint\ndata: ${url}${join}sallyport-connector=${id}\n\n${rest}`;
    assert.equal(await told(eventsOf(text)), expected);
    const bytes = Readable.from([...Buffer.from(text)].map((byte) => Buffer.from([byte])));
    assert.equal(await told({ ...eventsOf(""), body: bytes }), expected);
    assert.equal(await told(eventsOf(text), { method: "POST" }), text);
    assert.equal(await told(eventsOf(text, "text/plain")), text);
  }
  for (const text of [
    "",
    "event: message\ndata: {}\n\n" + rest,
    "event: endpoint\ndata: /cut",
    "x".repeat(1e5),
  ])
    assert.equal(await told(eventsOf(text)), text);
});

/** Speaks the transport of 2024-11-05, and knows the sessions of its own streams only. */
const oldServer = (own: string): Promise<Upstream> =>
  upstream((message, reply) => {
    if (message.method === "GET") {
      reply.writeHead(200, { "content-type": "text/event-stream" });
      reply.write(`event: endpoint\ndata: /messages?sessionId=${own}\n\n`);
    } else if (message.url === `/messages?sessionId=${own}`) reply.writeHead(202).end(own);
    else reply.writeHead(400).end("no transport found for sessionId");
  });

test("a session of the old transport goes on with its stream's connector, and without it is one nobody knows", async () => {
  for (const isCut of [false, true]) {
    await using both = await pair(oldServer);
    const leaving = new AbortController();
    const stream = await both.callers[0]?.forward(aRequest({ target: "/sse" }), leaving.signal);
    assert.ok(stream);
    const [first] = (await stream.body.take(1).toArray()) as [Buffer];
    const target = /^data: (.*)$/m.exec(first.toString())?.[1] ?? "";
    if (isCut) both.cut();
    const told: [number, string][] = [];
    for (const caller of both.callers) {
      const request = aRequest({ method: "POST", target, body: bytesBody(Buffer.from("x")) });
      const { status, body } = await caller.forward(request, live());
      told.push([status, await textOf(body)]);
    }
    const [atOne, atTwo] = told;
    assert.deepEqual(atOne, [202, "up-one"]);
    if (!isCut) assert.deepEqual(atTwo, [202, "up-one"]);
    else assert.deepEqual([atTwo?.[0], JSON.parse(atTwo?.[1] ?? "").error], [404, "mcp_session_unknown"]);
    assert.equal(both.upstreams[1].requests.length, 0);
    leaving.abort();
  }
});

/** Gives out its own session id and knows no other. */
const sessionServer = (own: string): Promise<Upstream> =>
  upstream((message, reply) => {
    const asked = message.headers["mcp-session-id"];
    if (asked === undefined) reply.setHeader("mcp-session-id", own).end(`new at ${own}`);
    else if (asked === own) reply.end(`again at ${own}`);
    else reply.writeHead(404).end();
  });

interface Pair extends AsyncDisposable {
  readonly two: Tunnel;
  readonly upstreams: readonly [Upstream, Upstream];
  readonly callers: readonly ReturnType<typeof callerOf>[];
  cut(): void;
}

/** Two connectors of one tunnel, each with an upstream of its own. */
async function pair(server = sessionServer): Promise<Pair> {
  const upstreams = [await server("up-one"), await server("up-two")] as const;
  const tunnels = new Map<string, Tunnel>();
  let isCut = false;
  const peer = {
    open: async ({ connector = "" }: { connector?: string }) => {
      const tunnel = isCut ? undefined : tunnels.get(connector);
      if (tunnel === undefined) throw new SallyportError("route_unavailable", "gone");
      return byteStreamTo(tunnel, "peer");
    },
  };
  const rigs = await Promise.all(
    (["one", "two"] as const).map(async (connector, at) => {
      const own = await rig(
        { routes: { docs: upstreams[at]?.port ?? 0, mail: upstreams[at]?.port ?? 0 } },
        { connector, peer },
      );
      tunnels.set(connector, own.tunnel);
      return own;
    }),
  );
  const callers = rigs.map(({ tunnel }) => callerOf(tunnel));
  return {
    two: rigs[1]?.tunnel ?? assert.fail(),
    upstreams,
    callers,
    cut: () => void (isCut = true),
    [Symbol.asyncDispose]: async () => {
      for (const each of [...callers, ...rigs, ...upstreams]) await each[Symbol.asyncDispose]();
    },
  };
}

test("a session goes on with the connector that holds it, whichever one a request comes to", async () => {
  await using both = await pair();
  const [toOne, toTwo] = both.callers;
  const opened = await toOne?.forward(aRequest(), live());
  const session = headerOf(opened?.headers ?? [], "mcp-session-id") ?? "";
  assert.doesNotMatch(session, /up-one/);
  const headers = [["mcp-session-id", session]] as const;
  for (const caller of [toOne, toTwo]) {
    const response = await caller?.forward(
      aRequest({ headers, method: "POST", body: bytesBody(Buffer.from("x")) }),
      live(),
    );
    assert.ok(response);
    assert.deepEqual([response.status, await textOf(response.body)], [200, "again at up-one"]);
  }
  assert.equal(both.upstreams[1].requests.length, 0);
  const ids = both.upstreams[0].requests.flatMap((request) => valuesOf(request.headers, "mcp-session-id"));
  assert.deepEqual(ids, ["up-one", "up-one"]);
});

test("a session nobody knows, of another route, changed, or whose owner is gone is a clean 404", async () => {
  await using both = await pair();
  const [toOne] = both.callers;
  const opened = await toOne?.forward(aRequest(), live());
  const session = headerOf(opened?.headers ?? [], "mcp-session-id") ?? "";
  const reached = both.upstreams[0].requests.length;
  const status = async (id: string, over: object = {}): Promise<unknown> => {
    await using caller = callerOf(both.two);
    const response = await caller.forward(aRequest({ headers: [["mcp-session-id", id]], ...over }), live());
    return [response.status, JSON.parse(await textOf(response.body))["error"]];
  };
  const unknown = [404, "mcp_session_unknown"];
  assert.deepEqual(await status("up-one"), unknown);
  assert.deepEqual(await status(`${session}x`), unknown);
  assert.deepEqual(await status(session, { host: `mail.${domain}` }), unknown);
  const hop = {
    headers: [
      ["mcp-session-id", session],
      ["x-sallyport-hop", "three"],
    ],
  };
  assert.deepEqual(await status(session, hop), unknown);
  both.cut();
  assert.deepEqual(await status(session), unknown);
  assert.equal(both.upstreams[0].requests.length, reached);
});

test("another than a connector of this tunnel is not told a session", async () => {
  await using upstreams = await sessionServer("up");
  const otherKey = await authority.issueServerCertificate({ domain, days: 5, key: "ecdsa-p256" });
  const routes = { docs: upstreams.port };
  await using two = await rig({ routes }, { connector: "two" });
  await using impostor = await rig({ routes }, { connector: "two" }, otherKey);
  const peer = { open: async () => byteStreamTo(impostor.tunnel) };
  await using one = await rig({ routes }, { connector: "one", peer });
  await using toOne = callerOf(one.tunnel);
  await using toTwo = callerOf(two.tunnel);
  const opened = await toTwo.forward(aRequest(), live());
  const session = headerOf(opened.headers, "mcp-session-id") ?? "";
  const response = await toOne.forward(aRequest({ headers: [["mcp-session-id", session]] }), live());
  assert.equal(response.status, 404);
  assert.equal(upstreams.requests.length, 1);
  assert.equal(impostor.log.said("request started").length, 0);
});

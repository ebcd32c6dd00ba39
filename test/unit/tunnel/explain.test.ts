import assert from "node:assert/strict";
import { once } from "node:events";
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { connect, createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { json } from "node:stream/consumers";
import { join } from "node:path";
import { test } from "node:test";
import { startSampleServer } from "../../../src/mcp/index.ts";
import {
  createAuthority,
  explain,
  explainLocal,
  type ExplainStep,
  type TunnelConfig,
  type UpstreamAddress,
} from "../../../src/tunnel/index.ts";

const authority = createAuthority({ commonName: "Explain CA", days: 1 });
const signal = AbortSignal.timeout(20_000);
const deps = { readSecret: async () => "s3cret", signal, resolve: async () => ["127.0.0.1"] };

function config(upstream: Partial<UpstreamAddress>, rest: Partial<TunnelConfig> = {}): TunnelConfig {
  return {
    file: "tunnel.yaml",
    listen: null,
    logLevel: "info",
    shutdownTimeoutMs: 1_000,
    tunnelDomain: "t.example",
    tls: null,
    routes: new Map([["docs", { scheme: "http", host: "docs.internal", port: 1, ...upstream }]]),
    upstream: {
      allowedIps: ["127.0.0.1"],
      disableIpValidation: false,
      tls: { caFile: null, includeSystemCas: false },
    },
    settings: new Map(),
    clientCaFile: null,
    metrics: null,
    ...rest,
  };
}

interface Upstream extends AsyncDisposable {
  readonly port: number;
}

async function listen(server: Server | ReturnType<typeof createTcpServer>): Promise<Upstream> {
  const open = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    open.add(socket);
    socket.on("error", () => undefined).on("close", () => open.delete(socket));
  });
  server.on("tlsClientError", () => undefined);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      server.close();
      for (const socket of open) socket.destroy();
      await once(server, "close");
    },
  };
}

const answering = (listener: RequestListener): Promise<Upstream> =>
  listen(
    createServer((request, response) => void request.resume().on("end", () => listener(request, response))),
  );

const url = "https://docs.t.example/mcp";
const path = (steps: readonly ExplainStep[]): string =>
  steps.map(({ layer, ok }) => `${layer}${ok ? "" : "!"}`).join(" ");

function last(steps: readonly ExplainStep[]): ExplainStep {
  const step = steps.at(-1) ?? assert.fail("no step");
  assert.equal(step.ok, step.fix === null, "a fix stands where something is broken");
  return step;
}

test("a call that holds passes every layer up to the tools of a real MCP server", async () => {
  await using upstream = await startSampleServer();
  const steps = await explainLocal(config({ port: upstream.port }), url, deps);
  assert.equal(path(steps), "route ip dial upstream auth tools_list");
  assert.match(last(steps).detail, /^\d+ tools: /);
  assert.equal(upstream.sessions, 0, "the session is given back");
});

test("route: a host nobody serves", async () => {
  const steps = await explainLocal(config({}), "https://wiki.t.example/mcp", deps);
  assert.equal(path(steps), "route!");
});

test("ip: an address that is not allowed, or none", async () => {
  const denied = await explainLocal(config({}), url, { ...deps, resolve: async () => ["8.8.8.8"] });
  assert.equal(path(denied), "route ip!");
  assert.equal(last(denied).detail, "IP validation failed: 8.8.8.8 is not a private address");
  assert.equal(path(await explainLocal(config({}), url, { ...deps, resolve: async () => [] })), "route ip!");
});

test("dial: nobody listens", async () => {
  const gone = await listen(createTcpServer());
  await gone[Symbol.asyncDispose]();
  assert.equal(path(await explainLocal(config({ port: gone.port }), url, deps)), "route ip dial!");
});

test("upstream_tls: a certificate nobody vouches for; with its CA it holds", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-explain-"));
  try {
    const caFile = join(folder, "ca.crt");
    writeFileSync(caFile, authority.certPem);
    const leaf = authority.issueLeaf("docs.internal");
    await using upstream = await listen(
      createHttpsServer({ cert: leaf.certPem, key: leaf.keyPem }, (_request, response) =>
        response.writeHead(401).end(),
      ),
    );
    const of = (file: string | null): TunnelConfig =>
      config(
        { scheme: "https", port: upstream.port },
        { upstream: { ...config({}).upstream, tls: { caFile: file, includeSystemCas: false } } },
      );
    assert.equal(path(await explainLocal(of(null), url, deps)), "route ip dial upstream_tls!");
    assert.equal(
      path(await explainLocal(of(caFile), url, deps)),
      "route ip dial upstream_tls upstream auth!",
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("upstream: something that is not HTTP, or another path", async () => {
  await using talker = await listen(createTcpServer((socket) => socket.resume().end("220 mail ready\r\n")));
  assert.equal(path(await explainLocal(config({ port: talker.port }), url, deps)), "route ip dial upstream!");
  await using elsewhere = await answering((_request, response) => response.writeHead(404).end());
  const steps = await explainLocal(config({ port: elsewhere.port }), url, deps);
  assert.equal(path(steps), "route ip dial upstream!");
  assert.match(last(steps).fix ?? "", /path of the URL/);
});

test("auth: the upstream wants a credential; the route's is stamped and not told", async () => {
  await using upstream = await answering((request, response) => {
    if (request.headers.authorization !== "Bearer s3cret") {
      response.writeHead(401, { "www-authenticate": "Bearer" }).end();
    } else
      response
        .writeHead(200, { "content-type": "application/json" })
        .end('{"jsonrpc":"2.0","id":1,"error":{}}');
  });
  const bare = await explainLocal(config({ port: upstream.port }), url, deps);
  assert.equal(path(bare), "route ip dial upstream auth!");
  assert.match(last(bare).detail, /HTTP 401: Bearer/);
  const credential = { header: "authorization", prefix: "Bearer ", from: { env: "TOKEN" } };
  const settings = new Map([["docs", { credential, tools: null, pin: "off" as const }]]);
  const stamped = await explainLocal(config({ port: upstream.port }, { settings }), url, deps);
  assert.equal(path(stamped), "route ip dial upstream auth tools_list!");
  assert.ok(!JSON.stringify(stamped).includes("s3cret"));
});

test("tools_list: a web server that is no MCP server", async () => {
  await using upstream = await answering((_request, response) => response.end("<html>hello</html>"));
  const steps = await explainLocal(config({ port: upstream.port }), url, deps);
  assert.equal(path(steps), "route ip dial upstream auth tools_list!");
});

test("a server without sessions is asked in the manner of its revision", async () => {
  await using upstream = await answering((request, response) => {
    const modern = request.headers["mcp-method"] === "tools/list";
    const body = modern
      ? { jsonrpc: "2.0", id: 2, result: { tools: [{ name: "search" }] } }
      : { jsonrpc: "2.0", id: 1, error: { code: -32_601, message: "no such method" } };
    response.writeHead(modern ? 200 : 400, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  assert.equal(
    last(await explainLocal(config({ port: upstream.port }), url, deps)).detail,
    "1 tools: search",
  );
});

test("an event stream that stays open after the answer does not hold the walk", async () => {
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { id } = (await json(request)) as { id?: number };
    const result = id === 1 ? { protocolVersion: "2025-11-25" } : { tools: [] };
    response.writeHead(200, { "content-type": "text/event-stream", "mcp-session-id": "s" });
    response.write(`: hello\n\nevent: message\ndata: ${JSON.stringify({ jsonrpc: "2.0", id, result })}\n\n`);
  };
  await using upstream = await listen(
    createServer((request, response) => void answer(request, response).catch(() => response.destroy())),
  );
  const steps = await explainLocal(config({ port: upstream.port }), url, deps);
  assert.equal(last(steps).detail, "no tools");
});

test("what is no URL of a route is a wrong command line", async () => {
  for (const text of [
    "docs",
    "ftp://docs.t.example/",
    "https://user@docs.t.example/",
    "https://127.0.0.1/",
    "https://docs.t.example:8443/",
  ]) {
    await assert.rejects(explainLocal(config({}), text, deps), { code: "config_invalid" }, text);
  }
});

/** An edge that carries bytes to a proxy, which ends TLS. */
async function edgeTo(port: number | null): Promise<Upstream> {
  return await listen(
    createTcpServer((socket) => {
      if (port === null) {
        socket.destroy();
        return;
      }
      const onward = connect(port, "127.0.0.1");
      onward.on("error", () => socket.destroy()).on("close", () => socket.destroy());
      socket.on("close", () => onward.destroy());
      socket.pipe(onward).pipe(socket);
    }),
  );
}

const proxy = (listener: RequestListener): Promise<Upstream> => {
  const leaf = authority.issueLeaf("docs.t.example");
  return listen(createHttpsServer({ cert: leaf.certPem, key: leaf.keyPem }, listener));
};

test("from outside: the hub's names, the edge and inner TLS come first", async () => {
  await using served = await proxy((_request, response) => {
    response.writeHead(502, { "x-sallyport-layer": "ip" });
    response.end(
      JSON.stringify({ error: "upstream_address_denied", message: "IP validation failed", fix: "narrow it" }),
    );
  });
  await using edge = await edgeTo(served.port);
  const at = { host: "127.0.0.1", port: edge.port, caPem: authority.certPem };
  const docs = { host: "docs.t.example", state: "up", layer: null, reason: null } as const;
  const steps = await explain(url, { known: [docs], edge: at }, deps);
  assert.equal(path(steps), "name edge inner_tls ip!");
  assert.deepEqual(last(steps), { layer: "ip", ok: false, detail: "IP validation failed", fix: "narrow it" });
  assert.equal(
    path(await explain(url, { known: [{ ...docs, host: "wiki.t.example" }], edge: at }, deps)),
    "name!",
  );
  const other = createAuthority({ commonName: "Other CA", days: 1 }).certPem;
  assert.equal(path(await explain(url, { edge: { ...at, caPem: other } }, deps)), "edge inner_tls!");
});

test("with the hub alone, what its connectors found counts", async () => {
  const docs = { host: "docs.t.example", state: "up", layer: null, reason: null } as const;
  assert.equal(path(await explain(url, { known: [docs] }, deps)), "name route");
  const down = { ...docs, state: "down", layer: "dial", reason: "connect ECONNREFUSED" } as const;
  const steps = await explain(url, { known: [down] }, deps);
  assert.equal(path(steps), "name dial!");
  assert.equal(last(steps).detail, "connect ECONNREFUSED");
  assert.match(last(steps).fix ?? "", /--tunnel FILE/);
  assert.equal(path(await explain(url, { known: [{ ...docs, state: "unknown" }] }, deps)), "name route!");
});

test("from outside: an edge that is not there, and one without a way to the host", async () => {
  await using edge = await edgeTo(null);
  const at = { host: "127.0.0.1", port: edge.port, caPem: authority.certPem };
  const cut = await explain(url, { edge: at }, deps);
  assert.equal(path(cut), "edge edge!");
  const gone = await listen(createTcpServer());
  await gone[Symbol.asyncDispose]();
  assert.equal(path(await explain(url, { edge: { ...at, port: gone.port } }, deps)), "edge!");
});

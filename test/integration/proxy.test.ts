/** The proxy as a process of its own, and a caller that does TLS inside a WebSocket by hand. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, request as httpRequest, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { fileURLToPath } from "node:url";
import { createWebSocketStream, WebSocket } from "ws";
import { withDeadline } from "../../src/async/index.ts";
import { createAuthority } from "../../src/tunnel/index.ts";
import { startEverything } from "../helpers/everything.ts";
import { freePort } from "../helpers/free-port.ts";

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const domain = "t.test";
const authority = createAuthority({ commonName: "tunnel", days: 10 });
const key = await authority.issueServerCertificate({ domain, days: 5, key: "ecdsa-p256" });

interface Proxy extends AsyncDisposable {
  readonly address: string;
  readonly lines: Record<string, unknown>[];
  write(routes: Readonly<Record<string, string>>): Promise<void>;
  said(message: string): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  readonly exited: Promise<number>;
}

async function startProxy(routes: Readonly<Record<string, string>>, metrics = ""): Promise<Proxy> {
  const dir = await mkdtemp(join(tmpdir(), "sallyport-proxy-"));
  const file = join(dir, "config.yaml");
  const write = async (next: Readonly<Record<string, string>>): Promise<void> => {
    const head = `listen_addr: "127.0.0.1:0"\ntunnel_domain: ${domain}\nshutdown_timeout: 5s\n`;
    const tls = "tls: {cert_file: tls.crt, key_file: tls.key}\nupstream: {allowed_ips: [127.0.0.1]}\n";
    await writeFile(file, `${head}${tls}routes: ${JSON.stringify(next)}\n${metrics}`);
  };
  await writeFile(join(dir, "tls.crt"), key.certPem);
  await writeFile(join(dir, "tls.key"), key.keyPem, { mode: 0o600 });
  await write(routes);
  const child = spawn(process.execPath, [main, "proxy", "-config", file], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(child, "exit").then(([code]) => code as number);
  const lines: Record<string, unknown>[] = [];
  const stderr = createInterface({ input: child.stderr });
  stderr.on("line", (line) => lines.push(JSON.parse(line) as Record<string, unknown>));
  const [ready] = (await withDeadline(
    once(createInterface({ input: child.stdout }), "line"),
    20_000,
    "the proxy",
  )) as [string];
  return {
    address: (JSON.parse(ready) as { listen: string }).listen,
    lines,
    write,
    exited,
    said: async (message) => {
      while (!lines.some(({ msg }) => msg === message))
        await withDeadline(once(stderr, "line"), 10_000, message);
    },
    kill: (signal) => void child.kill(signal),
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await exited;
      await rm(dir, { recursive: true });
    },
  };
}

/** TLS inside a WebSocket, as the tunnel's transport brings it. */
async function innerTls(address: string, host: string): Promise<TLSSocket> {
  const ws = new WebSocket(`ws://${address}/any/path`, { perMessageDeflate: false });
  await once(ws, "open");
  const bytes = createWebSocketStream(ws);
  bytes.on("error", () => undefined);
  const socket = connect({ socket: bytes, servername: host, ca: authority.certPem });
  socket.on("error", () => undefined);
  socket.once("close", () => bytes.destroy());
  await once(socket, "secureConnect");
  return socket;
}

interface Reply {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly text: string;
}

async function call(
  address: string,
  host: string,
  init: { body?: string; headers?: Record<string, string> } = {},
) {
  const socket = await innerTls(address, host);
  const request = httpRequest({
    createConnection: () => socket,
    host,
    path: "/mcp",
    method: init.body === undefined ? "GET" : "POST",
    headers: { host, ...init.headers },
  });
  // its connection may be cut once the reply is there
  request.on("error", () => undefined);
  request.end(init.body);
  const [response] = (await once(request, "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += chunk as string;
  socket.destroy();
  return { status: response.statusCode ?? 0, headers: response.headers, text } satisfies Reply;
}

async function upstream(
  answer: Parameters<typeof createServer>[1],
): Promise<AsyncDisposable & { url: string }> {
  const server: Server = createServer(answer);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

test("the documented file is enough for a proxy behind a WebSocket transport", async () => {
  await using docs = await upstream((_request, reply) => void reply.end("docs"));
  await using mail = await upstream((_request, reply) => void reply.end("mail"));
  await using proxy = await startProxy({ docs: docs.url });
  assert.equal((await call(proxy.address, `docs.${domain}`)).text, "docs");
  const unknown = await call(proxy.address, `mail.${domain}`);
  assert.equal(unknown.status, 502);
  assert.match(unknown.text, /No route configured for host/);
  await proxy.said("no route for host");
  await proxy.said("request started");
  await proxy.write({ docs: docs.url, mail: mail.url });
  await proxy.said("routes reloaded");
  assert.equal((await call(proxy.address, `mail.${domain}`)).text, "mail");
  await proxy.write({ docs: `${docs.url}/path` });
  await proxy.said("file not reloaded; the old one stays");
  assert.equal((await call(proxy.address, `docs.${domain}`)).text, "docs");
});

test("the first signal lets a running call end within its time, and takes nobody in", async () => {
  const begun = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  await using docs = await upstream((_request, reply) => {
    begun.resolve();
    void end.promise.then(() => reply.end("late"));
  });
  await using proxy = await startProxy({ docs: docs.url });
  const running = call(proxy.address, `docs.${domain}`);
  await begun.promise;
  proxy.kill("SIGTERM");
  await proxy.said("draining");
  await assert.rejects(call(proxy.address, `docs.${domain}`));
  end.resolve();
  assert.equal((await running).text, "late");
  assert.equal(await proxy.exited, 0);
});

test("plain requests, other origins and text are turned away", async () => {
  await using docs = await upstream((_request, reply) => void reply.end("docs"));
  await using proxy = await startProxy({ docs: docs.url });
  assert.equal((await fetch(`http://${proxy.address}/`)).status, 426);
  const foreign = new WebSocket(`ws://${proxy.address}/`, { origin: "http://evil.test" });
  const [error] = (await once(foreign, "error")) as [Error];
  assert.match(error.message, /403/);
  const text = new WebSocket(`ws://${proxy.address}/`);
  await once(text, "open");
  text.send("hello");
  const [code] = (await once(text, "close")) as [number];
  assert.ok([1003, 1006].includes(code), String(code));
});

test("health says which routes answer, and figures count by route", async () => {
  await using docs = await upstream((_request, reply) => void reply.end("docs"));
  const port = await freePort();
  await using proxy = await startProxy(
    { docs: docs.url },
    `sallyport: {metrics_addr: "127.0.0.1:${port}"}\n`,
  );
  await call(proxy.address, `docs.${domain}`);
  const at = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${port}${path}`, init);
  const ready = await at("/readyz");
  assert.deepEqual([ready.status, ((await ready.json()) as { status: string }).status], [200, "ready"]);
  const figures = await (await at("/metrics")).text();
  assert.match(figures, /sallyport_tunnel_requests_total{route="docs",status="2xx"} 1/);
  assert.equal((await at("/metrics", { headers: { origin: "http://evil.test" } })).status, 403);
});

test("a real MCP server is spoken to through it, with its session", async () => {
  await using everything = await startEverything();
  await using proxy = await startProxy({ every: `http://127.0.0.1:${everything.port}` });
  const host = `every.${domain}`;
  const headers = { "content-type": "application/json", accept: "application/json, text/event-stream" };
  const params = {
    protocolVersion: "2025-06-18",
    capabilities: {},
    clientInfo: { name: "test", version: "1" },
  };
  const rpc = (method: string, given: object, id?: number): string =>
    JSON.stringify({ jsonrpc: "2.0", method, params: given, ...(id !== undefined && { id }) });
  const opened = await call(proxy.address, host, { headers, body: rpc("initialize", params, 1) });
  assert.equal(opened.status, 200);
  const session = String(opened.headers["mcp-session-id"]);
  assert.match(session, /^sp1\./);
  const mine = { ...headers, "mcp-session-id": session };
  await call(proxy.address, host, { headers: mine, body: rpc("notifications/initialized", {}) });
  const echo = rpc("tools/call", { name: "echo", arguments: { message: "through" } }, 2);
  const said = await call(proxy.address, host, { headers: mine, body: echo });
  assert.match(said.text, /Echo: through/);
  const other = await call(proxy.address, host, {
    headers: { ...headers, "mcp-session-id": "guess" },
    body: echo,
  });
  assert.equal(other.status, 404);
});

/** The whole way of a call: a sandbox's loopback, gateway, hub and connector, over channels that both sides dialled. */
import { writeFile } from "node:fs/promises";
import { Agent, request, type IncomingMessage, type RequestOptions } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { deferred, type Deferred } from "../../src/async/index.ts";
import { createGateway } from "../../src/egress/index.ts";
import { silentLog } from "../../src/log.ts";
import { forwardRemote, type Tunnel } from "../../src/tunnel/index.ts";
import { authority, domain, folder, serverKey, type Folder } from "../unit/tunnel/proxy/rig.ts";
import { upstream, type Upstream } from "../unit/tunnel/proxy/upstream.ts";
import { LoopbackGuest } from "./gateway-rig.ts";
import { eventually, type TestHub } from "./hub.ts";
import { TestConnector } from "./tunnel.ts";

export const host = `docs.${domain}`;

export const connectorToken = (hub: TestHub): Promise<string> =>
  hub.keys.addKey({ name: `key-${Math.random()}`, tenant: "default", weight: 1, scopes: ["connector"] });

/** Offers a tunnel to the hub, as a connector does. */
export async function offerAt(
  hub: TestHub,
  token: string,
  tunnel: Tunnel,
  connectorId = "far",
): Promise<TestConnector> {
  const offer = {
    routes: () => [...tunnel.routes()],
    onChange: (listener: () => void) => tunnel.onChange(listener),
    serve: tunnel.serve.bind(tunnel),
    drain: () => tunnel.drain(1_000),
  };
  return await TestConnector.start({ url: hub.url, token, connectorId, offer });
}

/** A folder with all that a connector of one route, `docs`, is started with; `lines` are added to its tunnel file. */
export async function connectorFolder(
  token: string,
  port: number,
  lines: readonly string[] = [],
): Promise<Folder & { tokenFile: string; tunnel: string; state: string }> {
  const dir = await folder();
  const at = (name: string): string => join(dir.path, name);
  const [tokenFile, tunnel, state] = [at("token"), at("tunnel.yaml"), at("state")];
  const all = [
    `tunnel_domain: ${domain}`,
    "tls: { cert_file: tls.crt, key_file: tls.key }",
    `routes: { docs: "http://127.0.0.1:${port}" }`,
    "upstream: { allowed_ips: [127.0.0.1] }",
    ...lines,
  ];
  await writeFile(at("tls.crt"), serverKey.certPem);
  await writeFile(at("tls.key"), serverKey.keyPem, { mode: 0o600 });
  await writeFile(tokenFile, token, { mode: 0o600 });
  await writeFile(tunnel, `${all.join("\n")}\n`);
  return { ...dir, tokenFile, tunnel, state };
}

/** What a program was told: the answer of its tool, or why there is none and which layer failed. */
export interface Told {
  readonly status: number;
  readonly answer: unknown;
  readonly reason: string | null;
  readonly layer: string | null;
}

export interface Caller extends AsyncDisposable {
  readonly near: TestConnector;
  /** Resolves once a head came; rejects where the connection was cut. */
  open(options?: RequestOptions & { body?: string }): Promise<IncomingMessage>;
  get(path?: string): Promise<Told & { text: string }>;
  callTool(label: string): Promise<Told>;
}

/** A sandbox whose only granted host is the one route, which it can reach through the hub alone. */
export async function callerAt(
  hub: TestHub,
  token: string,
  { caPem = authority.certPem }: { caPem?: string } = {},
): Promise<Caller> {
  await using stack = new AsyncDisposableStack();
  const near = stack.use(await TestConnector.start({ url: hub.url, token, connectorId: "near" }));
  const { end } = near;
  const { forward } = stack.use(forwardRemote({ remote: end, caPem }));
  const remote = {
    routes: () => end.routes(),
    onChange: (told: () => void) => end.onChange(told),
    forward,
  };
  const audit = { record: () => undefined };
  const gateway = stack.use(createGateway({ remote, audit, log: silentLog() }));
  await eventually(() => gateway.hosts().includes(host));
  const guest = new LoopbackGuest();
  stack.use(await gateway.attach(guest, { job: "j", sandbox: "s", profile: "p" }, [{ host }]));
  const agent = Object.assign(new Agent(), { createConnection: () => guest.dial(80) });
  stack.defer(() => agent.destroy());
  const open: Caller["open"] = ({ body, ...options } = {}) => openRequest({ agent, ...options }, body);
  const owned = stack.move();
  return {
    near,
    open,
    get: async (path = "/") => {
      const reply = await open({ path });
      const said = await text(reply);
      return { ...toldOf(reply, said), text: said };
    },
    callTool: async (label) => {
      const params = { name: "count", arguments: { label } };
      const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params });
      const headers = {
        host,
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
      };
      const reply = await open({ method: "POST", path: "/mcp", headers, body });
      return toldOf(reply, await text(reply));
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function openRequest(options: RequestOptions, body = ""): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = request({ headers: { host }, ...options }, resolve);
    sent.once("error", reject).end(body);
  });
}

function toldOf(reply: IncomingMessage, said: string): Told {
  const status = reply.statusCode ?? 0;
  const isJson = String(reply.headers["content-type"]).includes("json");
  const { error, result, layer } = (isJson ? JSON.parse(said) : {}) as {
    error?: string | { data: { reason: string; layer: string } };
    result?: unknown;
    layer?: string;
  };
  const answer = result ?? null;
  if (typeof error === "object")
    return { status, answer, reason: error.data.reason, layer: error.data.layer };
  return { status, answer, reason: error ?? null, layer: layer ?? null };
}

export interface HeldUpstream extends Upstream {
  /** A call of the label `held` is there, and waits */
  readonly reached: Deferred<void>;
  readonly release: Deferred<void>;
  /** The labels of all calls that came, in order */
  labels(): string[];
}

/** An MCP server that answers each call at once, but `held` when it is released. */
export async function heldUpstream(): Promise<HeldUpstream> {
  const [reached, release] = [deferred<void>(), deferred<void>()];
  const labelIn = (body: string): string =>
    (JSON.parse(body) as { params: { arguments: { label: string } } }).params.arguments.label;
  const server = await upstream((_message, reply, body) => {
    const answer = (): void => {
      reply.setHeader("content-type", "application/json");
      reply.end(JSON.stringify({ jsonrpc: "2.0", id: 1, result: { content: [] } }));
    };
    if (labelIn(body) !== "held") return answer();
    reached.resolve();
    void release.promise.then(answer);
  });
  return { ...server, reached, release, labels: () => server.requests.map(({ body }) => labelIn(body)) };
}

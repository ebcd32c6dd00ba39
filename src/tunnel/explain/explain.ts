/** Which layer of a call does not hold: walks them in order, with real connections, up to the first that fails. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { deadlineSignal, linkSignals } from "../../async/index.ts";
import { isError, SallyportError } from "../../errors.ts";
import { createHttpClient, layers } from "../../exchange/index.ts";
import type { TunnelConfig } from "../contract.ts";
import { canonicalHost } from "../hosts.ts";
import { beginTls } from "../proxy/tls-client.ts";
import { askTools, type McpTarget } from "./ask-tools.ts";
import { askDirectly, walkToUpstream, type ExplainDeps } from "./local.ts";
import { broken, Walk, type ExplainStep } from "./walk.ts";

export interface EdgeWay {
  readonly host: string;
  readonly port: number;
  /** PEM of the tunnel's CA; null: what this host trusts */
  readonly caPem: string | null;
}

export interface ExplainWays {
  /** Walks the upstream's side, in a place that can reach it */
  readonly config?: TunnelConfig | undefined;
  /** Walks the caller's side */
  readonly edge?: EdgeWay | undefined;
  /** Every route the hub knows; absent: it is not asked */
  readonly known?: readonly ToldRoute[] | undefined;
}

/** A route as a hub tells it, from its connectors' last look */
export interface ToldRoute {
  readonly host: string;
  readonly state: "up" | "down" | "unknown";
  /** The layer that failed and why, where it is down */
  readonly layer: string | null;
  readonly reason: string | null;
}

/** The walk of one call in `ms` */
const walkMs = 30_000;

/** The upstream's side only. Throws `config_invalid` where the URL is none. */
export async function explainLocal(
  config: TunnelConfig,
  url: string,
  deps: ExplainDeps,
): Promise<readonly ExplainStep[]> {
  return await explain(url, { config }, deps);
}

/** Every side there is a way to, the caller's first; the last step is the first that failed, if one did. */
export async function explain(
  url: string,
  ways: ExplainWays,
  deps: ExplainDeps,
): Promise<readonly ExplainStep[]> {
  const target = readTarget(url);
  using deadline = deadlineSignal(walkMs, `explaining ${url}`);
  using linked = linkSignals(deps.signal, deadline.signal);
  const walk = new Walk();
  await walkAll(walk, target, ways, { ...deps, signal: linked.signal });
  return walk.steps;
}

async function walkAll(walk: Walk, target: McpTarget, ways: ExplainWays, deps: ExplainDeps): Promise<void> {
  const { known, edge, config } = ways;
  const told = known && (await walk.pass("name", async () => nameOf(target.host, known)));
  if (known !== undefined && told === undefined) return;
  if (told !== undefined && edge === undefined && config === undefined) {
    await walk.pass("route", async () => hearsay(told));
    return;
  }
  if (edge !== undefined && !(await walkToProxy(walk, target.host, edge, deps.signal))) return;
  const way = config && (await walkToUpstream(walk, config, target.host, deps));
  if (config !== undefined && way === undefined) return;
  if (edge !== undefined) await askThroughEdge(walk, target, edge, deps.signal);
  else if (way !== undefined) await askDirectly(walk, way, target, deps);
}

function nameOf(host: string, known: readonly ToldRoute[]): { detail: string; value: ToldRoute } {
  const told = known.find((route) => route.host === host);
  if (told !== undefined) return { detail: `the hub knows ${host}`, value: told };
  const fix =
    known.length === 0
      ? "connect a connector: no route is known"
      : `use one of ${known.map((route) => route.host).join(", ")}`;
  throw broken("name", `the hub knows no route for ${host}`, fix);
}

/** With no way to look, what the connectors found counts. */
function hearsay({ state, layer, reason }: ToldRoute): { detail: string; value: true } {
  if (state === "up") return { detail: "it answered its connector", value: true };
  const failed = layers.find((known) => known === layer) ?? "route";
  const found = state === "down" ? (reason ?? "it is down") : "no connector has looked at it yet";
  throw broken(failed, found, "look where its upstream can be reached: give --tunnel FILE there");
}

async function walkToProxy(
  walk: Walk,
  host: string,
  edge: EdgeWay,
  signal: AbortSignal,
): Promise<true | undefined> {
  const reached = await walk.pass("edge", async () => {
    const socket = await dialEdge(edge, signal);
    socket.destroy();
    return { detail: `${edge.host}:${edge.port} answers`, value: true as const };
  });
  if (reached === undefined) return undefined;
  return await walk.pass("inner_tls", async () => {
    const socket = await throughEdge(host, edge, signal);
    socket.destroy();
    return { detail: `the certificate is good for ${host}`, value: true as const };
  });
}

async function askThroughEdge(
  walk: Walk,
  target: McpTarget,
  edge: EdgeWay,
  signal: AbortSignal,
): Promise<void> {
  await using client = createHttpClient({ connect: (abort) => throughEdge(target.host, edge, abort) });
  await askTools(walk, target, client.forward, signal);
}

async function throughEdge(host: string, edge: EdgeWay, signal: AbortSignal): Promise<Socket> {
  const bytes = await dialEdge(edge, signal);
  try {
    return await beginTls(bytes, { host, trust: edge.caPem === null ? {} : { ca: edge.caPem }, signal });
  } catch (error) {
    // An edge that knows no way to a host closes the connection without a byte; a proxy would at least say an alert.
    if (!isError(error, "route_unavailable") || bytes.bytesRead > 0) throw error;
    throw broken(
      "edge",
      `the edge closed the connection for ${host}`,
      "check that a connector that offers the host is up",
    );
  }
}

async function dialEdge({ host, port }: EdgeWay, signal: AbortSignal): Promise<Socket> {
  const socket = connect({ host, port, noDelay: true });
  try {
    await once(socket, "connect", { signal });
    return socket;
  } catch (cause) {
    socket.on("error", () => undefined);
    socket.destroy();
    const reason = signal.aborted
      ? "no answer in time"
      : cause instanceof Error
        ? cause.message
        : String(cause);
    throw new SallyportError("upstream_unreachable", `${host}:${port}: ${reason}`, {
      details: { layer: "edge", fix: "check the edge's address, and that the hub listens there" },
      cause,
    });
  }
}

function readTarget(text: string): McpTarget {
  const match = /^https?:\/\/([^/?#]+)(\/[^#]*)?$/.exec(text);
  const host = canonicalHost((match?.[1] ?? "").replace(/:443$/, ""));
  if (host !== undefined) return { host, target: match?.[2] ?? "/" };
  throw new SallyportError("config_invalid", `--explain: ${JSON.stringify(text)} is not the URL of a route`, {
    details: {
      source: "command line",
      fix: "write it as https://HOST/PATH, such as https://docs.example.com/mcp",
    },
  });
}

/** The layers on this side of the tunnel: route, address, dial and the upstream's TLS. */
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { createHttpClient } from "../../exchange/index.ts";
import type { TunnelConfig } from "../contract.ts";
import { throughCredential, type ReadSecret } from "../proxy/credential.ts";
import { createRouteTable, type Route } from "../routes.ts";
import { dialUpstream } from "../upstream/dial.ts";
import { createGuard, type ResolveAll, type UpstreamGuard } from "../upstream/guard.ts";
import { loadUpstreamTrust, type UpstreamTrust } from "../upstream/trust.ts";
import { askTools, type McpTarget } from "./ask-tools.ts";
import { broken, type Walk } from "./walk.ts";

export interface ExplainDeps {
  readonly readSecret: ReadSecret;
  readonly signal: AbortSignal;
  /** Name service; that of the host by default */
  readonly resolve?: ResolveAll | undefined;
}

/** A way to the upstream that was walked once and can be dialled again. */
export interface LocalWay {
  readonly route: Route;
  dial(signal: AbortSignal): Promise<Socket>;
}

/** Undefined where a layer failed. */
export async function walkToUpstream(
  walk: Walk,
  config: TunnelConfig,
  host: string,
  deps: ExplainDeps,
): Promise<LocalWay | undefined> {
  const route = await walk.pass("route", async () => findRoute(config, host));
  if (route === undefined) return undefined;
  const { upstream } = route;
  const guard = createGuard(config.upstream, deps.resolve);
  const addresses = await walk.pass("ip", async () => {
    const value = await guard.check(upstream.host, deps.signal);
    return { detail: value.join(", "), value };
  });
  if (addresses === undefined) return undefined;
  // From here on the addresses that were judged are the ones that are dialled.
  const judged: UpstreamGuard = { check: async () => addresses };
  const trust = await loadUpstreamTrust(config.upstream.tls);
  const dial = (
    signal: AbortSignal,
    scheme = upstream.scheme,
    anchors: UpstreamTrust = trust,
  ): Promise<Socket> => dialUpstream({ ...upstream, scheme }, { guard: judged, trust: anchors, signal });
  const reached = await walk.pass("dial", async () => {
    using socket = closing(await dial(deps.signal, "http"));
    return { detail: `${socket.it.remoteAddress ?? "?"}:${upstream.port} answers`, value: true };
  });
  if (reached === undefined) return undefined;
  const way = { route, dial: (signal: AbortSignal) => dial(signal) };
  if (upstream.scheme === "http") return way;
  return await walk.pass("upstream_tls", async () => {
    using socket = closing(await dial(deps.signal));
    const protocol = socket.it instanceof TLSSocket ? socket.it.getProtocol() : null;
    return { detail: `${protocol ?? "TLS"}, the certificate is good for ${upstream.host}`, value: way };
  });
}

/** Asks the upstream itself, with the credential of the route. */
export async function askDirectly(
  walk: Walk,
  way: LocalWay,
  target: McpTarget,
  deps: ExplainDeps,
): Promise<void> {
  await using client = createHttpClient({ connect: (signal) => way.dial(signal) });
  const { credential } = way.route.settings;
  const forward =
    credential === null ? client.forward : throughCredential(credential, deps.readSecret, client.forward);
  await askTools(walk, target, forward, deps.signal);
}

function findRoute(config: TunnelConfig, host: string): { detail: string; value: Route } {
  const route = createRouteTable(config).match(host);
  if (route === undefined) {
    throw broken(
      "route",
      `no route for host ${host}`,
      `add it to routes in ${config.file}, or correct tunnel_domain`,
    );
  }
  const { scheme, host: to, port } = route.upstream;
  return { detail: `${route.key} → ${scheme}://${to}:${port}`, value: route };
}

function closing(socket: Socket): Disposable & { it: Socket } {
  return { it: socket, [Symbol.dispose]: () => socket.destroy() };
}

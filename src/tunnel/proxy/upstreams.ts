/** The upstreams of one reading of the file: where each route goes, with its policy, for as long as a call runs on it. */
import type { Socket } from "node:net";
import { SallyportError } from "../../errors.ts";
import { createHttpClient, type Forward, type HttpClient } from "../../exchange/index.ts";
import type { TunnelConfig } from "../contract.ts";
import { createRouteTable, type Route, type RouteTable } from "../routes.ts";
import { dialUpstream } from "../upstream/dial.ts";
import { createGuard, type UpstreamGuard } from "../upstream/guard.ts";
import { loadUpstreamTrust, type UpstreamTrust } from "../upstream/trust.ts";
import { throughCallersHeaders } from "./callers-headers.ts";
import { throughCredential } from "./credential.ts";
import { defaultLimits, type TunnelDeps } from "./deps.ts";
import type { ToolCeilings } from "./tool-ceiling.ts";

interface Way {
  readonly forward: Forward;
  readonly client: HttpClient;
}

/** Disposing it cuts what still runs. */
export class Upstreams implements AsyncDisposable {
  readonly config: TunnelConfig;
  readonly table: RouteTable;
  readonly #deps: TunnelDeps;
  readonly #guard: UpstreamGuard;
  readonly #trust: UpstreamTrust;
  readonly #ways: ReadonlyMap<string, Way>;

  private constructor(
    { config, trust }: { config: TunnelConfig; trust: UpstreamTrust },
    deps: TunnelDeps,
    ceilings: ToolCeilings,
  ) {
    this.config = config;
    this.#deps = deps;
    this.#trust = trust;
    this.#guard = createGuard(config.upstream, deps.resolve);
    this.table = createRouteTable(config);
    this.#ways = new Map(this.table.routes.map((route) => [route.key, this.#wayTo(route, ceilings)]));
  }

  /** Throws `config_invalid`. */
  static async open(config: TunnelConfig, deps: TunnelDeps, ceilings: ToolCeilings): Promise<Upstreams> {
    const trust = await loadUpstreamTrust(config.upstream.tls);
    return new Upstreams({ config, trust }, deps, ceilings);
  }

  /** Throws `route_unknown` where no route has the host. */
  readonly forward: Forward = async (request, signal) => {
    const route = this.table.match(request.host);
    const way = route === undefined ? undefined : this.#ways.get(route.key);
    if (way === undefined) {
      const error = unknownRoute(request.host);
      this.#deps.figures?.failed("none", error);
      throw error;
    }
    return await way.forward(request, signal);
  };

  /** Resolves, checks and dials as for a request. Throws what a request would. */
  async probe(route: Route, signal: AbortSignal): Promise<void> {
    const socket = await this.#dial(route, signal, 3_000);
    socket.destroy();
  }

  /** Resolves once no request is under way; rejects with the signal's reason. */
  async drain(signal?: AbortSignal): Promise<void> {
    await Promise.all([...this.#ways.values()].map(({ client }) => client.drain(signal)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#ways.values()].map(({ client }) => client[Symbol.asyncDispose]()));
  }

  #wayTo(route: Route, ceilings: ToolCeilings): Way {
    const { limits, figures, readSecret } = this.#deps;
    const client = createHttpClient({
      connect: (signal) => this.#dial(route, signal),
      maxConnections: limits?.upstreamConnections ?? defaultLimits.upstreamConnections,
      responseHeaderMs: limits?.responseHeaderMs ?? defaultLimits.responseHeaderMs,
    });
    const { credential } = route.settings;
    const stamped =
      credential === null ? client.forward : throughCredential(credential, readSecret, client.forward);
    const forward = ceilings.through(route, throughCallersHeaders(stamped));
    return { client, forward: figures === undefined ? forward : figures.through(route.key, forward) };
  }

  #dial(route: Route, signal: AbortSignal, connectMs = 10_000): Promise<Socket> {
    return dialUpstream(route.upstream, { guard: this.#guard, trust: this.#trust, signal, connectMs });
  }
}

function unknownRoute(host: string): SallyportError {
  return new SallyportError("route_unknown", "No route configured for host", {
    details: { layer: "route", host, sent: false, fix: "add the host to routes, or correct tunnel_domain" },
  });
}

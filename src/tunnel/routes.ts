/** Which upstream a hostname stands for: the exact full hostname first, then the subdomain below the tunnel domain. */
import type { KnownRoute, RouteSettings, TunnelConfig, UpstreamAddress } from "./contract.ts";

export interface Route extends KnownRoute {
  /** The key in the file */
  readonly key: string;
  readonly upstream: UpstreamAddress;
  readonly settings: RouteSettings;
}

export interface RouteTable {
  /** The route of a canonical hostname; undefined: none, never a guess. */
  match(host: string): Route | undefined;
  readonly routes: readonly Route[];
  knownRoutes(): readonly KnownRoute[];
}

/** What a route without an entry under `sallyport:` has. */
export const plainSettings: RouteSettings = Object.freeze({ credential: null, tools: null, pin: "off" });

export function createRouteTable(
  config: Pick<TunnelConfig, "tunnelDomain" | "routes" | "settings">,
): RouteTable {
  const suffix = config.tunnelDomain === null ? undefined : `.${config.tunnelDomain}`;
  const byKey = new Map(
    [...config.routes].map(([key, upstream]) => {
      const settings = config.settings.get(key) ?? plainSettings;
      return [key, Object.freeze({ key, upstream, settings, ...nameRoute(key, suffix) })];
    }),
  );
  const routes = Object.freeze([...byKey.values()]);
  const known = Object.freeze(routes.map(({ host, name }) => Object.freeze({ host, name })));
  return {
    routes,
    knownRoutes: () => known,
    match: (host) => {
      // A bare label is no full hostname: it means something only below the tunnel domain.
      const exact = host.includes(".") ? byKey.get(host) : undefined;
      if (exact !== undefined || suffix === undefined || !host.endsWith(suffix)) return exact;
      return byKey.get(host.slice(0, -suffix.length));
    },
  };
}

/** The full hostname a key stands for, and its short name. */
export function nameRoute(key: string, suffix: string | undefined): KnownRoute {
  if (suffix !== undefined && key.endsWith(suffix)) return { host: key, name: key.slice(0, -suffix.length) };
  if (suffix === undefined || key.includes(".")) return { host: key, name: null };
  return { host: `${key}${suffix}`, name: key };
}

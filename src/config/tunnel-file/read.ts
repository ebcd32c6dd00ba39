import {
  isRange,
  nameRoute,
  privateRanges,
  type TunnelConfig,
  type UpstreamAddress,
} from "../../tunnel/index.ts";
import { certificatePath, readablePath } from "./files.ts";
import { readAdditions } from "./settings.ts";
import { readDuration, readHost, readListen, readUpstream } from "./values.ts";
import { readYaml, type Fields, type YamlValue } from "./yaml.ts";

const topKeys = [
  "listen_addr",
  "log_level",
  "shutdown_timeout",
  "tunnel_domain",
  "tls",
  "routes",
  "upstream",
  "sallyport",
] as const;
type TopKey = (typeof topKeys)[number];

const levels = ["debug", "info", "warn", "error"] as const;

export interface TunnelFileOptions {
  /** Who reads it: `proxy` needs `listen_addr` and `tls`, `connector` needs `tls`, `worker` neither */
  readonly need: "proxy" | "connector" | "worker";
  /** Takes the place of `tunnel_domain` */
  readonly tunnelDomain?: string | undefined;
}

export async function readTunnel(path: string, options: TunnelFileOptions): Promise<TunnelConfig> {
  const file = await readYaml(path);
  const fields = file.fields(topKeys, "map");
  if (options.need === "proxy") fields.need("listen_addr");
  const tunnelDomain = readDomain(file, fields, options.tunnelDomain);
  const routes = readRoutes(fields.need("routes"), tunnelDomain);
  const upstream = readUpstreamRules(fields.get("upstream"));
  const additions = readAdditions(fields.get("sallyport"), new Set(routes.keys()));
  refuseUntrusted(fields.need("routes"), routes, upstream.tls);
  return Object.freeze({
    file: path,
    listen: fields.read("listen_addr", readListen, null),
    logLevel: fields.read("log_level", (value) => value.oneOf(levels), "info" as const),
    shutdownTimeoutMs: fields.read("shutdown_timeout", readDuration, 30_000),
    tunnelDomain,
    tls: options.need === "worker" ? fields.read("tls", readTls, null) : readTls(fields.need("tls")),
    routes,
    upstream,
    ...additions,
  });
}

function readDomain(file: YamlValue, fields: Fields<TopKey>, given: string | undefined): string | null {
  if (given !== undefined) return readHost(file, given);
  return fields.read("tunnel_domain", (value) => readHost(value), null);
}

function readRoutes(value: YamlValue, tunnelDomain: string | null): ReadonlyMap<string, UpstreamAddress> {
  const suffix = tunnelDomain === null ? undefined : `.${tunnelDomain}`;
  const routes = new Map<string, UpstreamAddress>();
  const hosts = new Map<string, string>();
  for (const [written, entry] of value.entries("map[string]string")) {
    const key = readHost(entry, written);
    if (suffix === undefined && !key.includes(".")) {
      throw entry.fault(
        "a bare subdomain needs tunnel_domain",
        "set tunnel_domain, or write the full hostname",
      );
    }
    const { host } = nameRoute(key, suffix);
    const taken = hosts.get(host);
    if (taken !== undefined) {
      throw entry.fault(`is the same hostname as ${JSON.stringify(taken)}: ${host}`, "keep one of them");
    }
    hosts.set(host, written);
    routes.set(key, readUpstream(entry));
  }
  return routes;
}

function readTls(value: YamlValue): TunnelConfig["tls"] {
  const fields = value.fields(["cert_file", "key_file"], "map");
  return Object.freeze({
    certFile: certificatePath(fields.need("cert_file")),
    keyFile: readablePath(fields.need("key_file")),
  });
}

function readUpstreamRules(value: YamlValue | undefined): TunnelConfig["upstream"] {
  const fields = value?.fields(["allowed_ips", "disable_ip_validation", "tls"], "map");
  const allowed = fields?.get("allowed_ips");
  const disableIpValidation = fields?.read("disable_ip_validation", (flag) => flag.flag(), false) ?? false;
  if (allowed !== undefined && disableIpValidation) {
    throw allowed.fault(
      "allowed_ips and disable_ip_validation are mutually exclusive",
      "keep allowed_ips and remove disable_ip_validation",
    );
  }
  return Object.freeze({
    allowedIps: allowed === undefined ? privateRanges : readRanges(allowed),
    disableIpValidation,
    tls: readAnchors(fields?.get("tls")),
  });
}

function readRanges(value: YamlValue): readonly string[] {
  const ranges = value.list("[]string").map((item) => {
    const range = item.text();
    if (isRange(range)) return range;
    throw item.fault(
      `invalid CIDR address: ${JSON.stringify(range)}`,
      "write an address or ADDRESS/PREFIX, such as 10.1.2.0/24",
    );
  });
  if (ranges.length > 0) return Object.freeze(ranges);
  throw value.fault(
    "is empty, which allows no upstream",
    "list ranges, or leave the key out for the default",
  );
}

function readAnchors(value: YamlValue | undefined): TunnelConfig["upstream"]["tls"] {
  const fields = value?.fields(["ca_file", "include_system_cas"], "map");
  return Object.freeze({
    caFile: fields?.read("ca_file", certificatePath, null) ?? null,
    includeSystemCas: fields?.read("include_system_cas", (flag) => flag.flag(), false) ?? false,
  });
}

/** The documented proxy finds out at the first request. */
function refuseUntrusted(
  value: YamlValue,
  routes: ReadonlyMap<string, UpstreamAddress>,
  tls: TunnelConfig["upstream"]["tls"],
): void {
  if (tls.caFile !== null || tls.includeSystemCas) return;
  const first = [...routes.values()].findIndex(({ scheme }) => scheme === "https");
  const entry = value.entries("map[string]string")[first]?.[1];
  if (entry === undefined) return;
  throw entry.fault(
    "no trust anchor for an https upstream",
    "set upstream.tls.ca_file or upstream.tls.include_system_cas",
  );
}

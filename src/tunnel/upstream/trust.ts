/** Which certificates of `https` upstreams are believed. */
import { createSecureContext, getCACertificates, type SecureContext } from "node:tls";
import { readAuthorities } from "../certificates/pem.ts";
import type { TunnelConfig } from "../contract.ts";

/** Read once for each configuration and shared by its connections; null where there is no trust anchor. */
export type UpstreamTrust = SecureContext | null;

const named = { field: "upstream.tls.ca_file", fix: "name a file with PEM certificates" };

/** Throws `config_invalid` when the file cannot be read or its certificates cannot. */
export async function loadUpstreamTrust(tls: TunnelConfig["upstream"]["tls"]): Promise<UpstreamTrust> {
  const own = tls.caFile === null ? [] : [await readAuthorities(tls.caFile, named)];
  const anchors = [...own, ...(tls.includeSystemCas ? getCACertificates("system") : [])];
  return anchors.length === 0 ? null : createSecureContext({ ca: anchors, minVersion: "TLSv1.2" });
}

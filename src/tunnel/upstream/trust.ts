/** Which certificates of `https` upstreams are believed. */
import { readFile } from "node:fs/promises";
import { createSecureContext, getCACertificates, type SecureContext } from "node:tls";
import { SallyportError } from "../../errors.ts";
import { certificatesIn } from "../certificates/pem.ts";
import type { TunnelConfig } from "../contract.ts";

/** Read once for each configuration and shared by its connections; null where there is no trust anchor. */
export type UpstreamTrust = SecureContext | null;

/** Throws `config_invalid` when the file cannot be read or its certificates cannot. */
export async function loadUpstreamTrust(tls: TunnelConfig["upstream"]["tls"]): Promise<UpstreamTrust> {
  const named = tls.caFile === null ? [] : [await readAnchors(tls.caFile)];
  const anchors = [...named, ...(tls.includeSystemCas ? getCACertificates("system") : [])];
  return anchors.length === 0 ? null : createSecureContext({ ca: anchors, minVersion: "TLSv1.2" });
}

async function readAnchors(path: string): Promise<string> {
  try {
    const pem = await readFile(path, "utf8");
    certificatesIn(pem);
    return pem;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SallyportError("config_invalid", `${path}: ${reason}`, {
      details: { file: path, field: "upstream.tls.ca_file", fix: "name a file with PEM certificates" },
      cause,
    });
  }
}

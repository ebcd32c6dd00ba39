/** Which certificates of `https` upstreams are believed. */
import { readFile } from "node:fs/promises";
import { createSecureContext, getCACertificates, type SecureContext } from "node:tls";
import { SallyportError } from "../../errors.ts";
import type { TunnelConfig } from "../contract.ts";

/** Read once for each configuration and shared by its connections; null where there is no trust anchor. */
export type UpstreamTrust = SecureContext | null;

/** Throws `config_invalid` when the file cannot be read or holds no certificate. */
export async function loadUpstreamTrust(tls: TunnelConfig["upstream"]["tls"]): Promise<UpstreamTrust> {
  const named = tls.caFile === null ? [] : [await readAnchors(tls.caFile)];
  const anchors = [...named, ...(tls.includeSystemCas ? getCACertificates("system") : [])];
  return anchors.length === 0 ? null : createSecureContext({ ca: anchors, minVersion: "TLSv1.2" });
}

async function readAnchors(path: string): Promise<string> {
  const details = { file: path, field: "upstream.tls.ca_file", fix: "name a file with PEM certificates" };
  let pem: string;
  try {
    pem = await readFile(path, "utf8");
    createSecureContext({ ca: pem });
  } catch (error) {
    throw new SallyportError("config_invalid", `${path}: cannot be used as CA certificates`, {
      details,
      cause: error,
    });
  }
  if (pem.includes("-----BEGIN CERTIFICATE-----")) return pem;
  throw new SallyportError("config_invalid", `${path}: holds no certificate`, { details });
}

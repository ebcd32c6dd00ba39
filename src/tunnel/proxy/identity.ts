/** Who this proxy is towards callers: the certificate of inner TLS, its key, and whose certificates it asks for. */
import { createHash, createPrivateKey, X509Certificate, type KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext, type SecureContext } from "node:tls";
import { SallyportError } from "../../errors.ts";
import { certificatesIn } from "../certificates/pem.ts";
import type { TunnelConfig } from "../contract.ts";

export interface ServerIdentity {
  readonly context: SecureContext;
  readonly certPem: string;
  readonly keyPem: string;
  readonly privateKey: KeyObject;
  /** Digest of the public key: every connector of one tunnel has the same */
  readonly keyDigest: string;
  /** Callers need a certificate that one of these signed; null: none is asked for */
  readonly clientCas: readonly X509Certificate[] | null;
}

/** Null where the file names no certificate. Throws `config_invalid` that names the file. */
export async function loadIdentity(
  config: Pick<TunnelConfig, "tls" | "clientCaFile">,
): Promise<ServerIdentity | null> {
  if (config.tls === null) return null;
  const { certFile, keyFile } = config.tls;
  const [certPem, keyPem, clientCa] = await Promise.all([
    readPem(certFile, "tls.cert_file"),
    readPem(keyFile, "tls.key_file"),
    config.clientCaFile === null ? null : readPem(config.clientCaFile, "sallyport.client_ca_file"),
  ]);
  const parse = <T>(file: string, read: () => T): T => parsed(file, read);
  const context = parse(certFile, () =>
    createSecureContext({
      cert: certPem,
      key: keyPem,
      minVersion: "TLSv1.2",
      ...(clientCa !== null && { ca: clientCa }),
    }),
  );
  const privateKey = parse(keyFile, () => createPrivateKey(keyPem));
  return {
    context,
    certPem,
    keyPem,
    privateKey,
    keyDigest: keyDigestOf(parse(certFile, () => new X509Certificate(certPem))),
    clientCas: clientCa === null ? null : parse(config.clientCaFile ?? "", () => certificatesIn(clientCa)),
  };
}

/** Hex SHA-256 of the public key. */
export function keyDigestOf(certificate: X509Certificate): string {
  const key = certificate.publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(key).digest("hex");
}

const clientAuth = "1.3.6.1.5.5.7.3.2";

/** Whether a caller may come in: signed directly by a CA for callers, or another connector of this tunnel by its key. */
export function admits(
  identity: ServerIdentity,
  peer: X509Certificate | undefined,
  now = new Date(),
): boolean {
  if (identity.clientCas === null) return true;
  if (peer === undefined) return false;
  if (keyDigestOf(peer) === identity.keyDigest) return true;
  const isValid = peer.validFromDate <= now && now < peer.validToDate;
  const purposes = peer.keyUsage as readonly string[] | undefined;
  const isClient = purposes === undefined || purposes.includes(clientAuth);
  const isSigned = identity.clientCas.some((ca) => peer.checkIssued(ca) && peer.verify(ca.publicKey));
  return isValid && isClient && isSigned;
}

/** What Go's `open` says, which operators know from the documented proxy. */
const openFaults: Record<string, string> = {
  EACCES: "permission denied",
  ENOENT: "no such file or directory",
  EISDIR: "is a directory",
};

async function readPem(file: string, field: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "";
    throw new SallyportError("config_invalid", `open ${file}: ${openFaults[code] ?? code}`, {
      details: { file, field, fix: "let the file be readable by the user that runs this" },
      cause,
    });
  }
}

function parsed<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SallyportError("config_invalid", `${file}: ${reason}`, {
      details: {
        file,
        fix: "make a pair with `sallyport certs init`, and keep certificate and key together",
      },
      cause,
    });
  }
}

/** Our own certificate authorities: the one of a tunnel's inner TLS, and the one a gateway shows its sandboxes. */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  generateKeyPairSync,
  type KeyObject,
} from "node:crypto";
import { promisify } from "node:util";
import { certificateFault } from "./fault.ts";
import { checkAuthority, fingerprintOf } from "./check.ts";
import { decodeCertificate, encodeCertificate } from "./encode.ts";

/** A certificate and its private key (PKCS #8), both PEM. */
export interface CertifiedKey {
  readonly certPem: string;
  readonly keyPem: string;
}

export type ServerKey = "rsa-4096" | "ecdsa-p256";

export interface ServerRequest {
  /** Good for the domain itself and for every name one label below it */
  readonly domain: string;
  readonly days: number;
  /** `rsa-4096` by default, as documented; making such a key takes a second or more */
  readonly key?: ServerKey;
  /** The private key to sign for once more, instead of a new one */
  readonly keyPem?: string;
}

export interface Authority extends CertifiedKey {
  readonly fingerprint: string;
  /** For one hostname, ECDSA P-256, good as long as the authority: fast enough to be made within a handshake. */
  issueLeaf(host: string): CertifiedKey;
  issueServerCertificate(request: ServerRequest): Promise<CertifiedKey>;
}

const dayMs = 86_400_000;
/** Clocks of those who check may be behind. */
const skewMs = 300_000;
const generate = promisify(generateKeyPair);

/** A new ECDSA P-256 authority. The documented one lives five years: 1826 days. */
export function createAuthority({ commonName, days }: { commonName: string; days: number }): Authority {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spec = { commonName, publicKey, ...validity(days), hosts: null };
  return authority(encodeCertificate(spec, { key: privateKey }), privateKey);
}

/** Throws `certificate_invalid` where the certificate may not be an authority's now, or the key is not its own. */
export function openAuthority({ certPem, keyPem }: CertifiedKey): Authority {
  const { certificate } = checkAuthority(certPem);
  let key: KeyObject;
  try {
    key = createPrivateKey(keyPem);
  } catch (error) {
    throw certificateFault("key_unreadable", "the authority's private key cannot be read", error);
  }
  if (!certificate.checkPrivateKey(key)) {
    throw certificateFault("key_mismatch", "the private key is not that of the authority's certificate");
  }
  return authority(certPem, key);
}

function authority(certPem: string, key: KeyObject): Authority {
  const certificate = decodeCertificate(certPem);
  const signer = { key, certificate };
  const end = certificate.tbsCertificate.validity.notAfter.getTime();
  return Object.freeze({
    certPem,
    keyPem: pemOf(key),
    fingerprint: fingerprintOf(certPem),
    issueLeaf: (host: string) => {
      const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const times = { notBefore: new Date(Date.now() - skewMs), notAfter: end };
      const spec = { commonName: host, publicKey, ...times, hosts: [host] };
      return { certPem: encodeCertificate(spec, signer), keyPem: pemOf(privateKey) };
    },
    issueServerCertificate: async ({ domain, days, key: kind, keyPem }: ServerRequest) => {
      const privateKey = keyPem === undefined ? await generateKey(kind) : createPrivateKey(keyPem);
      const publicKey = createPublicKey(privateKey);
      const { notBefore, notAfter } = validity(days);
      const times = { notBefore, notAfter: notAfter < end ? notAfter : end };
      const spec = { commonName: domain, publicKey, ...times, hosts: [`*.${domain}`, domain] };
      return { certPem: encodeCertificate(spec, signer), keyPem: pemOf(privateKey) };
    },
  });
}

async function generateKey(kind: ServerKey = "rsa-4096"): Promise<KeyObject> {
  const pair =
    kind === "rsa-4096"
      ? await generate("rsa", { modulusLength: 4096 })
      : await generate("ec", { namedCurve: "P-256" });
  return pair.privateKey;
}

function validity(days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - skewMs), notAfter: new Date(now + days * dayMs) };
}

const pemOf = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }).toString();

/** The documented rules for the certificates of inner TLS: which CA may be registered, and which server certificate it vouches for. */
import { AsnConvert } from "@peculiar/asn1-schema";
import {
  AuthorityKeyIdentifier,
  BasicConstraints,
  ExtendedKeyUsage,
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
  id_kp_serverAuth,
  KeyUsage,
  KeyUsageFlags,
  SubjectAlternativeName,
  SubjectKeyIdentifier,
  type Certificate,
} from "@peculiar/asn1-x509";
import { createHash, X509Certificate } from "node:crypto";
import { decodeCertificate, extension } from "./encode.ts";
import { certificateFault, type CertificateReason } from "./fault.ts";

export interface CheckedCertificate {
  readonly certificate: X509Certificate;
  /** SHA-256 of the DER, lower-case hexadecimal */
  readonly fingerprint: string;
  readonly notAfter: Date;
}

/** characters, as at registration */
const longestPem = 8_192;
const curves: readonly (string | undefined)[] = ["prime256v1", "secp384r1", "secp521r1"];
/** PKCS #1 v1.5 and ECDSA with SHA-256, SHA-384 and SHA-512 */
const signatures: readonly string[] = [
  "1.2.840.113549.1.1.11",
  "1.2.840.113549.1.1.12",
  "1.2.840.113549.1.1.13",
  "1.2.840.10045.4.3.2",
  "1.2.840.10045.4.3.3",
  "1.2.840.10045.4.3.4",
];

/** Throws `certificate_invalid`; `details.reason` names the first rule of registration that does not hold. */
export function checkAuthority(pem: string, now: Date = new Date()): CheckedCertificate {
  if (pem.length > longestPem)
    throw certificateFault("too_large", "the CA file is larger than 8192 characters");
  const kinds = [...pem.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----/g)].map((match) => match[1] ?? "");
  if (kinds.some((kind) => kind.includes("PRIVATE KEY"))) {
    throw certificateFault("private_key", "a private key stands with the CA certificate");
  }
  if (kinds.length > 1) throw certificateFault("not_one_certificate", "more than one certificate is given");
  const checked = read(pem, "CA certificate");
  const { asn1 } = checked;
  const rule = ruleFor("CA certificate");
  const critical = extension(asn1, id_ce_basicConstraints)?.critical === true;
  const constraints = valueOf(asn1, id_ce_basicConstraints, BasicConstraints);
  rule(critical && constraints?.cA === true, "not_an_authority", "is no authority's");
  rule(
    valueOf(asn1, id_ce_subjectKeyIdentifier, SubjectKeyIdentifier) !== undefined,
    "no_subject_key_identifier",
    "has no SubjectKeyIdentifier",
  );
  const flags = valueOf(asn1, id_ce_keyUsage, KeyUsage)?.toNumber() ?? 0;
  rule((flags & KeyUsageFlags.keyCertSign) !== 0, "no_key_cert_sign", "may not sign certificates");
  checkStrength(checked, now, rule);
  return publicPart(checked);
}

export interface ServerCheck {
  /** The registered CA */
  readonly caPem: string;
  /** A hostname it must be good for */
  readonly host: string;
  readonly now?: Date;
}

/** Throws `certificate_invalid`; `details.reason` names the first rule that does not hold. Of a chain the first is read. */
export function checkServerCertificate(pem: string, check: ServerCheck): CheckedCertificate {
  const authority = read(check.caPem, "CA certificate");
  const checked = read(pem, "server certificate");
  const rule = ruleFor("server certificate");
  const direct =
    checked.certificate.issuer === authority.certificate.subject &&
    checked.certificate.verify(authority.certificate.publicKey);
  rule(direct, "signed_by_another", "is not signed directly by the registered CA");
  const named = valueOf(checked.asn1, id_ce_authorityKeyIdentifier, AuthorityKeyIdentifier)?.keyIdentifier;
  const issuer = valueOf(authority.asn1, id_ce_subjectKeyIdentifier, SubjectKeyIdentifier);
  rule(sameBytes(named?.buffer, issuer?.buffer), "authority_key_mismatch", "does not name the CA's key");
  const matched = checked.certificate.checkHost(check.host, { subject: "never", partialWildcards: false });
  rule(matched !== undefined, "name_mismatch", `is not good for ${check.host}`);
  const purposes = valueOf(checked.asn1, id_ce_extKeyUsage, ExtendedKeyUsage);
  rule(purposes?.includes(id_kp_serverAuth) ?? true, "not_for_servers", "is not for servers");
  checkStrength(checked, check.now ?? new Date(), rule);
  return publicPart(checked);
}

/** The DNS names a certificate is good for. */
export function dnsNames(pem: string): readonly string[] {
  const { asn1 } = read(pem, "certificate");
  const names = valueOf(asn1, id_ce_subjectAltName, SubjectAlternativeName) ?? [];
  return names.flatMap(({ dNSName }) => (dNSName === undefined ? [] : [dNSName]));
}

/** SHA-256 of the DER, lower-case hexadecimal, as the registration shows it. */
export function fingerprintOf(pem: string): string {
  return createHash("sha256").update(new X509Certificate(pem).raw).digest("hex");
}

interface Read {
  certificate: X509Certificate;
  asn1: Certificate;
  pem: string;
}

function read(pem: string, what: string): Read {
  try {
    return { certificate: new X509Certificate(pem), asn1: decodeCertificate(pem), pem };
  } catch (error) {
    throw certificateFault("not_pem", `the ${what} cannot be read`, error);
  }
}

/** What an extension says; undefined where it is absent. */
function valueOf<T>(asn1: Certificate, oid: string, schema: new () => T): T | undefined {
  const found = extension(asn1, oid);
  try {
    return found && AsnConvert.parse(found.extnValue, schema);
  } catch (error) {
    throw certificateFault("not_pem", `extension ${oid} of the certificate cannot be read`, error);
  }
}

type Rule = (holds: boolean, reason: CertificateReason, otherwise: string) => void;

function ruleFor(what: string): Rule {
  return (holds, reason, otherwise) => {
    if (!holds) throw certificateFault(reason, `the ${what} ${otherwise}`);
  };
}

function checkStrength({ certificate, asn1 }: Read, now: Date, rule: Rule): void {
  rule(certificate.validFromDate <= now, "not_yet_valid", "is not valid yet");
  rule(certificate.validToDate > now, "expired", `expired at ${certificate.validToDate.toISOString()}`);
  const { asymmetricKeyType: type, asymmetricKeyDetails: facts } = certificate.publicKey;
  const strong =
    (type === "rsa" && (facts?.modulusLength ?? 0) >= 2_048) ||
    (type === "ec" && curves.includes(facts?.namedCurve));
  rule(strong, "weak_key", "has a key that is too weak or of another kind");
  const signature = asn1.signatureAlgorithm.algorithm;
  rule(
    signatures.includes(signature),
    "weak_signature",
    "has a signature that is too weak or of another kind",
  );
}

function publicPart({ certificate, pem }: Read): CheckedCertificate {
  return { certificate, fingerprint: fingerprintOf(pem), notAfter: certificate.validToDate };
}

function sameBytes(left: ArrayBuffer | undefined, right: ArrayBuffer | undefined): boolean {
  return left !== undefined && right !== undefined && Buffer.from(left).equals(Buffer.from(right));
}

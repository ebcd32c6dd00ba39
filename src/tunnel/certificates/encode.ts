/** X.509 certificates (RFC 5280) from what they are to say. */
import { AsnConvert, OctetString } from "@peculiar/asn1-schema";
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  GeneralName,
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
  id_kp_serverAuth,
  KeyIdentifier,
  KeyUsage,
  KeyUsageFlags,
  Name,
  RelativeDistinguishedName,
  SubjectAlternativeName,
  SubjectKeyIdentifier,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
} from "@peculiar/asn1-x509";
import { createHash, randomBytes, sign, X509Certificate, type KeyObject } from "node:crypto";

export interface CertificateSpec {
  readonly commonName: string;
  readonly publicKey: KeyObject;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** DNS names it is good for as a server's; null: it is an authority's */
  readonly hosts: readonly string[] | null;
}

/** Whose signature it gets; without `certificate` the new one is its own issuer. */
export interface Signer {
  /** ECDSA P-256 */
  readonly key: KeyObject;
  readonly certificate?: Certificate;
}

/** ecdsa-with-SHA256, RFC 5758 */
const algorithm = (): AlgorithmIdentifier => new AlgorithmIdentifier({ algorithm: "1.2.840.10045.4.3.2" });

/** PEM of a certificate signed directly by `signer`. */
export function encodeCertificate(spec: CertificateSpec, signer: Signer): string {
  const subject = nameOf(spec.commonName);
  const spki = AsnConvert.parse(spec.publicKey.export({ type: "spki", format: "der" }), SubjectPublicKeyInfo);
  const tbsCertificate = new TBSCertificate({
    version: 2,
    serialNumber: serialNumber(),
    signature: algorithm(),
    issuer: signer.certificate?.tbsCertificate.subject ?? subject,
    validity: new Validity({ notBefore: spec.notBefore, notAfter: spec.notAfter }),
    subject,
    subjectPublicKeyInfo: spki,
    extensions: new Extensions(extensionsOf(spec, spki, signer)),
  });
  const signature = sign("sha256", new Uint8Array(AsnConvert.serialize(tbsCertificate)), signer.key);
  const certificate = new Certificate({
    tbsCertificate,
    signatureAlgorithm: algorithm(),
    signatureValue: new Uint8Array(signature).buffer,
  });
  return pemOf(Buffer.from(AsnConvert.serialize(certificate)));
}

/** RFC 7468 §5 */
function pemOf(der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

export function decodeCertificate(pem: string): Certificate {
  return AsnConvert.parse(new Uint8Array(new X509Certificate(pem).raw), Certificate);
}

export function extension(certificate: Certificate, oid: string): Extension | undefined {
  return certificate.tbsCertificate.extensions?.find(({ extnID }) => extnID === oid);
}

/** The SubjectKeyIdentifier */
export function keyIdentifier(certificate: Certificate): ArrayBuffer | undefined {
  const found = extension(certificate, id_ce_subjectKeyIdentifier);
  return found && AsnConvert.parse(found.extnValue, SubjectKeyIdentifier).buffer;
}

function extensionsOf(spec: CertificateSpec, spki: SubjectPublicKeyInfo, signer: Signer): Extension[] {
  const own = digestOf(spki);
  const issuer = signer.certificate === undefined ? own : keyIdentifier(signer.certificate);
  const authority = spec.hosts === null;
  const isRsa = spec.publicKey.asymmetricKeyType === "rsa";
  const serverUsage = KeyUsageFlags.digitalSignature | (isRsa ? KeyUsageFlags.keyEncipherment : 0);
  const usage = authority ? KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign : serverUsage;
  const common = [
    entry(
      id_ce_basicConstraints,
      new BasicConstraints(authority ? { cA: true, pathLenConstraint: 0 } : {}),
      true,
    ),
    entry(id_ce_keyUsage, new KeyUsage(usage), true),
    entry(id_ce_subjectKeyIdentifier, new SubjectKeyIdentifier(own)),
    entry(
      id_ce_authorityKeyIdentifier,
      new AuthorityKeyIdentifier({ keyIdentifier: new KeyIdentifier(issuer ?? own) }),
    ),
  ];
  if (spec.hosts === null) return common;
  const names = spec.hosts.map((host) => new GeneralName({ dNSName: host }));
  return [
    ...common,
    entry(id_ce_extKeyUsage, new ExtendedKeyUsage([id_kp_serverAuth])),
    entry(id_ce_subjectAltName, new SubjectAlternativeName(names)),
  ];
}

function entry(extnID: string, value: object, critical = false): Extension {
  return new Extension({ extnID, critical, extnValue: new OctetString(AsnConvert.serialize(value)) });
}

/** RFC 7093 §2 method 1 */
function digestOf({ subjectPublicKey }: SubjectPublicKeyInfo): Uint8Array {
  return new Uint8Array(
    createHash("sha256").update(new Uint8Array(subjectPublicKey)).digest().subarray(0, 20),
  );
}

/** Positive, 127 random bits or nearly so, RFC 5280 §4.1.2.2 */
function serialNumber(): ArrayBuffer {
  const bytes = new Uint8Array(randomBytes(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.buffer;
}

/** A common name holds at most 64 characters (RFC 5280 appendix A); whom a certificate is for stands in its SAN. */
function nameOf(commonName: string): Name {
  const value = new AttributeValue({ utf8String: commonName.slice(0, 64) });
  return new Name([new RelativeDistinguishedName([new AttributeTypeAndValue({ type: "2.5.4.3", value })])]);
}

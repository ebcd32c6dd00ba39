import { SallyportError } from "../../errors.ts";

/** Which rule for certificates does not hold. */
export type CertificateReason = keyof typeof fixes;

const anew = "make one with `sallyport certs init`";
const again = "sign it again with `sallyport certs renew`";

const fixes = {
  not_pem: "give one PEM certificate",
  too_large: "give the CA certificate alone, at most 8192 characters",
  private_key: "give the certificate alone and keep its key private",
  not_one_certificate: "give exactly one certificate, without a chain",
  not_an_authority: `the certificate needs critical BasicConstraints with CA:TRUE; ${anew}`,
  no_subject_key_identifier: `the certificate needs a SubjectKeyIdentifier; ${anew}`,
  no_key_cert_sign: `the certificate's KeyUsage needs keyCertSign; ${anew}`,
  not_yet_valid: "correct the clock, or wait until the certificate is valid",
  expired: `${again}; an authority that ended is made anew in another folder`,
  weak_key: "use RSA of at least 2048 bits, or ECDSA on P-256, P-384 or P-521",
  weak_signature: "sign with SHA-256 or stronger",
  signed_by_another: `no CA between it and the registered one is allowed; ${again}`,
  authority_key_mismatch: `its AuthorityKeyIdentifier must be the CA's SubjectKeyIdentifier; ${again}`,
  name_mismatch: "its SAN must name *.<tunnel_domain>",
  not_for_servers: "its ExtendedKeyUsage must include serverAuth",
  key_unreadable: "give the PEM key that was made with the certificate",
  key_mismatch: "give the key that was made with the certificate",
} as const;

export function certificateFault(
  reason: CertificateReason,
  message: string,
  cause?: unknown,
): SallyportError {
  return new SallyportError("certificate_invalid", message, {
    details: { layer: "inner_tls", reason, fix: fixes[reason] },
    cause,
  });
}

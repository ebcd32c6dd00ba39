import { X509Certificate } from "node:crypto";
import { certificateFault } from "./fault.ts";

const begin = "-----BEGIN CERTIFICATE-----";

/**
 * Each certificate of a PEM text: while an authority changes, a file holds the old one and the new. Throws `certificate_invalid` where
 * there is none, or one that cannot be read, which TLS leaves out without a word.
 */
export function certificatesIn(pem: string): X509Certificate[] {
  const parts = pem.split(begin).slice(1);
  if (parts.length === 0) throw certificateFault("not_pem", "holds no certificate");
  return parts.map((part, index) => {
    try {
      return new X509Certificate(begin + part);
    } catch (error) {
      throw certificateFault("not_pem", `certificate ${index + 1} cannot be read`, error);
    }
  });
}

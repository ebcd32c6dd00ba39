import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { SallyportError } from "../../errors.ts";
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

/** The text of a file of authorities that `field` names; throws `config_invalid` where it, or a certificate in it, cannot be read. */
export async function readAuthorities(
  file: string,
  { field, fix }: { field: string; fix: string },
): Promise<string> {
  try {
    const pem = await readFile(file, "utf8");
    certificatesIn(pem);
    return pem;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SallyportError("config_invalid", `${field}: ${file}: ${reason}`, {
      details: { file, field, fix },
      cause,
    });
  }
}

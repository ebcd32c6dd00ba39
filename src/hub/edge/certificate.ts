/** A certificate nobody is meant to trust: callers of a route that cannot be reached get their answer under it. */
import { createPrivateKey, generateKeyPairSync, randomBytes, sign } from "node:crypto";

export interface EdgeCertificate {
  cert: string;
  key: string;
}

export const edgeCommonName = "sallyport edge";

/** Self-signed, ECDSA P-256, for ten years; the key exists in this process only. */
export function makeEdgeCertificate(): EdgeCertificate {
  const { publicKey, privateKey } = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "der" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const now = new Date();
  const name = sequence(der(0x31, sequence(commonName, der(0x0c, Buffer.from(edgeCommonName)))));
  const validity = sequence(time(now, 0), time(now, 10));
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ecdsaWithSha256,
    name,
    validity,
    name,
    publicKey,
  );
  const signature = sign("sha256", body, createPrivateKey(privateKey));
  const whole = sequence(body, ecdsaWithSha256, der(0x03, Buffer.concat([Buffer.from([0]), signature])));
  const lines = whole.toString("base64").match(/.{1,64}/g) ?? [];
  const cert = `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
  return { cert, key: privateKey };
}

/** One element of DER, https://www.itu.int/rec/T-REC-X.690 */
function der(tag: number, content: Buffer): Buffer {
  const length =
    content.length < 0x80
      ? Buffer.from([content.length])
      : content.length < 0x100
        ? Buffer.from([0x81, content.length])
        : Buffer.from([0x82, content.length >> 8, content.length & 0xff]);
  return Buffer.concat([Buffer.from([tag]), length, content]);
}

function sequence(...parts: Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts));
}

/** GeneralizedTime, `years` after `from` and a day before, so that clocks may differ. */
function time(from: Date, years: number): Buffer {
  const at = new Date(from);
  at.setUTCFullYear(at.getUTCFullYear() + years, at.getUTCMonth(), at.getUTCDate() - 1);
  const text = at
    .toISOString()
    .replaceAll(/[-:T]/g, "")
    .replace(/\.\d+Z$/, "Z");
  // before 2050 a certificate has to say it in two digits of year, RFC 5280 section 4.1.2.5
  return at.getUTCFullYear() < 2050
    ? der(0x17, Buffer.from(text.slice(2), "latin1"))
    : der(0x18, Buffer.from(text, "latin1"));
}

/** 1.2.840.10045.4.3.2 */
const ecdsaWithSha256 = sequence(der(0x06, Buffer.from([0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02])));
/** 2.5.4.3 */
const commonName = der(0x06, Buffer.from([0x55, 0x04, 0x03]));

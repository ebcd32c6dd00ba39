import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { isError } from "../../../../src/errors.ts";
import {
  checkAuthority,
  checkServerCertificate,
  createAuthority,
  fingerprintOf,
  type CertificateReason,
} from "../../../../src/tunnel/index.ts";

/** Made with OpenSSL by `make.sh`, each to break or keep one rule. */
const pem = (name: string): string =>
  readFileSync(new URL(`../../../fixtures/certificates/${name}.pem`, import.meta.url), "utf8");

function refuses(check: () => unknown, reason: CertificateReason): void {
  assert.throws(check, (error) => {
    assert.ok(isError(error, "certificate_invalid"), String(error));
    assert.equal(error.details["reason"], reason, error.message);
    assert.equal(error.details["layer"], "inner_tls");
    assert.equal(typeof error.details["fix"], "string");
    return true;
  });
}

const serverOf = (name: string, ca = "ca-good", host = "docs.t.example"): (() => unknown) => {
  return () => checkServerCertificate(pem(name), { caPem: pem(ca), host });
};

test("RSA of 2048 bits, P-256 and P-384 may be registered", () => {
  for (const name of ["ca-good", "ca-rsa-2048", "ca-p384"]) {
    const { fingerprint, notAfter } = checkAuthority(pem(name));
    assert.match(fingerprint, /^[0-9a-f]{64}$/);
    assert.equal(notAfter.getTime(), Date.parse(new X509Certificate(pem(name)).validTo));
  }
});

test("a CA certificate that breaks a rule of registration is refused by that rule's name", () => {
  const broken: Record<string, CertificateReason> = {
    "ca-rsa-1024": "weak_key",
    "ca-p224": "weak_key",
    "ca-ed25519": "weak_key",
    "ca-sha1": "weak_signature",
    "ca-not-critical": "not_an_authority",
    "ca-not-ca": "not_an_authority",
    "server-good": "not_an_authority",
    "ca-no-ski": "no_subject_key_identifier",
    "ca-no-cert-sign": "no_key_cert_sign",
  };
  for (const [name, reason] of Object.entries(broken)) refuses(() => checkAuthority(pem(name)), reason);
});

test("a CA certificate is given alone: no chain, no key, nothing beyond 8192 characters", () => {
  const good = pem("ca-good");
  const { keyPem } = createAuthority({ commonName: "Test CA", days: 1 });
  refuses(() => checkAuthority(good + pem("ca-p384")), "not_one_certificate");
  refuses(() => checkAuthority(good + keyPem), "private_key");
  refuses(() => checkAuthority(keyPem), "private_key");
  refuses(() => checkAuthority(`${good}${"\n".repeat(8_193 - good.length)}`), "too_large");
  checkAuthority(`${good}${"\n".repeat(8_192 - good.length)}`);
  for (const text of ["", "nothing", good.replace("MII", "AAA"), good.slice(0, 200)]) {
    refuses(() => checkAuthority(text), "not_pem");
  }
});

test("a certificate is good within its time only", () => {
  const { validFromDate: from, validToDate: to } = new X509Certificate(pem("ca-good"));
  const at = (date: Date, ms: number): Date => new Date(date.getTime() + ms);
  checkAuthority(pem("ca-good"), from);
  refuses(() => checkAuthority(pem("ca-good"), at(from, -1)), "not_yet_valid");
  checkAuthority(pem("ca-good"), at(to, -1));
  refuses(() => checkAuthority(pem("ca-good"), to), "expired");
});

test("a server certificate signed directly by the CA is good for the names it has", () => {
  for (const name of ["server-good", "server-any-purpose"]) serverOf(name)();
  serverOf("server-good", "ca-good", "t.example")();
  refuses(serverOf("server-good", "ca-good", "docs.other.example"), "name_mismatch");
  refuses(serverOf("server-good", "ca-good", "a.docs.t.example"), "name_mismatch");
});

test("a server certificate that breaks a rule is refused by that rule's name", () => {
  refuses(serverOf("server-good", "ca-p384"), "signed_by_another");
  refuses(serverOf("server-below"), "signed_by_another");
  serverOf("server-below", "ca-between")();
  refuses(serverOf("server-no-aki"), "authority_key_mismatch");
  refuses(serverOf("server-other-aki"), "authority_key_mismatch");
  refuses(serverOf("server-no-san"), "name_mismatch");
  refuses(serverOf("server-for-clients"), "not_for_servers");
});

test("a fingerprint is the lower-case SHA-256 of the DER", () => {
  const { fingerprint256 } = new X509Certificate(pem("ca-good"));
  assert.equal(fingerprintOf(pem("ca-good")), fingerprint256.replaceAll(":", "").toLowerCase());
});

import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { connect, createServer } from "node:tls";
import {
  checkAuthority,
  checkServerCertificate,
  createAuthority,
  openAuthority,
  type CertifiedKey,
} from "../../../../src/tunnel/index.ts";

const authority = createAuthority({ commonName: "Test CA", days: 1826 });
const server = (): Promise<CertifiedKey> =>
  authority.issueServerCertificate({ domain: "t.example", days: 90, key: "ecdsa-p256" });

/** What a client that trusts the authority says of a handshake for `host`; undefined where it is content. */
async function handshake({ certPem, keyPem }: CertifiedKey, host: string): Promise<string | undefined> {
  await using listener = createServer({ cert: certPem, key: keyPem }, (socket) => socket.end());
  listener.on("tlsClientError", () => undefined);
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  const socket = connect({ host: "127.0.0.1", port, servername: host, ca: authority.certPem });
  try {
    await once(socket, "secureConnect");
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  } finally {
    socket.destroy();
  }
}

test("a new authority passes the rules of registration and lives five years", () => {
  const { certificate, fingerprint } = checkAuthority(authority.certPem);
  assert.equal(fingerprint, certificate.fingerprint256.replaceAll(":", "").toLowerCase());
  assert.equal(fingerprint, authority.fingerprint);
  assert.ok(certificate.verify(certificate.publicKey));
  assert.equal(certificate.publicKey.asymmetricKeyDetails?.namedCurve, "prime256v1");
  const days = (certificate.validToDate.getTime() - Date.now()) / 86_400_000;
  assert.ok(days > 1825 && days <= 1826, `${days} days`);
});

test("a server certificate is good for the domain and the names below it, in a real handshake", async () => {
  const issued = await server();
  for (const host of ["docs.t.example", "t.example"]) {
    assert.equal(await handshake(issued, host), undefined, host);
    checkServerCertificate(issued.certPem, { caPem: authority.certPem, host });
  }
  for (const host of ["a.docs.t.example", "docs.t.example.evil", "other.example"]) {
    assert.equal(await handshake(issued, host), "ERR_TLS_CERT_ALTNAME_INVALID", host);
  }
});

test("a server's key is RSA-4096 unless a faster one is asked for", { timeout: 60_000 }, async () => {
  const { certPem, keyPem } = await authority.issueServerCertificate({ domain: "t.example", days: 90 });
  assert.equal(createPrivateKey(keyPem).asymmetricKeyDetails?.modulusLength, 4096);
  checkServerCertificate(certPem, { caPem: authority.certPem, host: "docs.t.example" });
});

test("a leaf is good for its one host, and for nothing below it", async () => {
  const leaf = authority.issueLeaf("docs.t.example");
  assert.equal(await handshake(leaf, "docs.t.example"), undefined);
  assert.equal(await handshake(leaf, "wiki.t.example"), "ERR_TLS_CERT_ALTNAME_INVALID");
  assert.equal(await handshake(leaf, "a.docs.t.example"), "ERR_TLS_CERT_ALTNAME_INVALID");
});

test("no certificate outlives the authority that signed it", async () => {
  const brief = createAuthority({ commonName: "Brief CA", days: 1 });
  const issued = await brief.issueServerCertificate({ domain: "t.example", days: 90, key: "ecdsa-p256" });
  const end = new X509Certificate(brief.certPem).validTo;
  assert.equal(new X509Certificate(issued.certPem).validTo, end);
  assert.equal(new X509Certificate(brief.issueLeaf("docs.t.example").certPem).validTo, end);
});

test("an authority opened from its files signs like the one that was made", async () => {
  const opened = openAuthority({ certPem: authority.certPem, keyPem: authority.keyPem });
  assert.equal(await handshake(opened.issueLeaf("docs.t.example"), "docs.t.example"), undefined);
});

test("an authority is not opened with another's key, nor a server certificate as an authority", async () => {
  const other = createAuthority({ commonName: "Other CA", days: 1 });
  const opens = (pair: CertifiedKey): unknown => {
    try {
      openAuthority(pair);
      return "opened";
    } catch (error) {
      return (error as { details: { reason: unknown } }).details.reason;
    }
  };
  assert.equal(opens({ certPem: authority.certPem, keyPem: other.keyPem }), "key_mismatch");
  assert.equal(opens({ certPem: authority.certPem, keyPem: "nothing" }), "key_unreadable");
  assert.equal(opens(await server()), "not_an_authority");
});

test("serial numbers and keys are never the same twice", () => {
  const leaves = [1, 2, 3].map(() => authority.issueLeaf("docs.t.example"));
  assert.equal(new Set(leaves.map(({ certPem }) => new X509Certificate(certPem).serialNumber)).size, 3);
  assert.equal(new Set(leaves.map(({ keyPem }) => keyPem)).size, 3);
});

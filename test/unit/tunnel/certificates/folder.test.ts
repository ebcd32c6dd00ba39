import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  checkServerCertificate,
  createAuthority,
  initCertificates,
  renewCertificates,
  type CertificateFolder,
} from "../../../../src/tunnel/index.ts";

interface Folder extends Disposable {
  readonly dir: string;
  file(name: string): string;
  text(name: string): string;
  init(domain?: string, days?: number): Promise<CertificateFolder>;
  renew(renewBeforeDays: number): Promise<CertificateFolder>;
}

function folder(): Folder {
  const parent = mkdtempSync(join(tmpdir(), "sallyport-certs-"));
  const dir = join(parent, "certs");
  const file = (name: string): string => join(dir, name);
  return {
    dir,
    file,
    text: (name) => readFileSync(file(name), "utf8"),
    init: (domain = "t.example", days = 90) => initCertificates({ dir, domain, days, key: "ecdsa-p256" }),
    renew: (renewBeforeDays) => renewCertificates({ dir, days: 90, renewBeforeDays }),
    [Symbol.dispose]: () => rmSync(parent, { recursive: true, force: true }),
  };
}

const done = ({ authority, server }: CertificateFolder): string => `${authority.done} ${server.done}`;

test("a fresh folder gets an authority and a wildcard certificate, with keys nobody else can read", async () => {
  using certs = folder();
  assert.equal(done(await certs.init()), "made made");
  assert.deepEqual(readdirSync(certs.dir).sort(), ["ca.crt", "ca.key", "tls.crt", "tls.key"]);
  for (const name of ["ca.key", "tls.key"])
    assert.equal(statSync(certs.file(name)).mode & 0o777, 0o600, name);
  for (const host of ["docs.t.example", "t.example"]) {
    checkServerCertificate(certs.text("tls.crt"), { caPem: certs.text("ca.crt"), host });
  }
});

test("doing it again changes nothing", async () => {
  using certs = folder();
  const first = await certs.init();
  const before = readdirSync(certs.dir).map((name) => certs.text(name));
  const second = await certs.init("T.example");
  assert.equal(done(second), "kept kept");
  assert.equal(second.server.fingerprint, first.server.fingerprint);
  assert.deepEqual(
    readdirSync(certs.dir).map((name) => certs.text(name)),
    before,
  );
});

test("another domain gets a certificate of the same authority", async () => {
  using certs = folder();
  const first = await certs.init();
  const second = await certs.init("other.example");
  assert.equal(done(second), "kept made");
  assert.equal(second.authority.fingerprint, first.authority.fingerprint);
  checkServerCertificate(certs.text("tls.crt"), { caPem: certs.text("ca.crt"), host: "docs.other.example" });
});

test("a file that is not this authority's is never replaced", async () => {
  const stranger = createAuthority({ commonName: "Stranger", days: 1 });
  const cases: [names: string[], content: string[]][] = [
    [
      ["tls.crt", "tls.key"],
      [stranger.certPem, stranger.keyPem],
    ],
    [["tls.crt"], [stranger.certPem]],
    [["tls.key"], ["mine"]],
    [["ca.key"], [stranger.keyPem]],
    [["ca.crt"], ["mine"]],
    [
      ["ca.crt", "ca.key"],
      ["mine", "mine"],
    ],
  ];
  for (const [names, contents] of cases) {
    using certs = folder();
    await certs.init();
    const kind = names[0]?.split(".")[0] ?? "";
    for (const name of readdirSync(certs.dir)) if (name.startsWith(kind)) rmSync(certs.file(name));
    names.forEach((name, index) => writeFileSync(certs.file(name), contents[index] ?? "", { mode: 0o600 }));
    await assert.rejects(certs.init(), { code: "config_invalid" }, names.join());
    await assert.rejects(certs.renew(0), { code: "config_invalid" }, names.join());
    names.forEach((name, index) => assert.equal(certs.text(name), contents[index]));
  }
});

test("a key that others can read is refused by name", async () => {
  using certs = folder();
  await certs.init();
  chmodSync(certs.file("ca.key"), 0o640);
  await assert.rejects(certs.init(), {
    code: "config_invalid",
    message: /ca\.key: others can read this key \(mode 0640\)/,
  });
  await assert.rejects(certs.renew(0), { code: "config_invalid" });
});

test("renewing signs anew for the same names and the same key, with nothing but the folder", async () => {
  using certs = folder();
  const first = await certs.init();
  const [key, authority, before] = [certs.text("tls.key"), certs.text("ca.crt"), certs.text("tls.crt")];
  const renewed = await certs.renew(0);
  assert.equal(done(renewed), "kept renewed");
  assert.equal(renewed.domain, "t.example");
  assert.notEqual(renewed.server.fingerprint, first.server.fingerprint);
  assert.deepEqual([certs.text("tls.key"), certs.text("ca.crt")], [key, authority]);
  assert.ok(
    new X509Certificate(before).publicKey.equals(new X509Certificate(certs.text("tls.crt")).publicKey),
  );
  checkServerCertificate(certs.text("tls.crt"), { caPem: authority, host: "docs.t.example" });
  assert.equal(readdirSync(certs.dir).length, 4);
});

test("a certificate that is good for longer than asked is kept, one that is not is renewed", async () => {
  using certs = folder();
  await certs.init("t.example", 31);
  assert.equal(done(await certs.renew(30)), "kept kept");
  assert.equal(done(await certs.renew(32)), "kept renewed");
  assert.equal(done(await certs.renew(32)), "kept kept");
});

test("an ended certificate is renewed whatever is asked", async () => {
  using certs = folder();
  await certs.init("t.example", 1 / 86_400_000);
  assert.equal(done(await certs.renew(0.000_001)), "kept renewed");
});

test("an empty folder cannot be renewed, and a domain must be one", async () => {
  using certs = folder();
  await assert.rejects(certs.renew(0), { code: "config_invalid", message: /holds no authority/ });
  for (const domain of ["docs", "t.example.", "*.t.example", "127.0.0.1", "", `${"a.".repeat(125)}aa`]) {
    await assert.rejects(certs.init(domain), { code: "config_invalid" }, domain);
  }
});

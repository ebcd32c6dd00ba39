import assert from "node:assert/strict";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readCredential, readTunnelFile } from "../../../src/config/index.ts";
import {
  certPem,
  failure,
  folder,
  keyPem,
  refuses,
  route,
  withOurs,
  withUpstream,
} from "../../helpers/tunnel-file.ts";

test("a key or certificate that is not there is told as open would tell it", async () => {
  const tls = (key: string): string =>
    `${route("http://docs:80")}tls:\n  cert_file: tls.crt\n  key_file: ${key}\n`;
  await refuses(tls("/nowhere/tls.key"), 6, "open /nowhere/tls.key: no such file or directory");
  await refuses(tls("/"), 6, "open /: is a directory");
  await refuses(
    `${route("http://docs:80")}tls:\n  cert_file: token\n  key_file: tls.key\n`,
    5,
    "no certificate",
  );
});

test("a key that may not be read is told as open would tell it", async () => {
  using files = folder();
  chmodSync(files.path, 0o755);
  files.put("tls.key", keyPem, 0o000);
  for (const name of ["tls.crt", "ca.crt"]) chmodSync(join(files.path, name), 0o644);
  const yaml = `${route("http://docs:80")}tls: { cert_file: tls.crt, key_file: tls.key }\n`;
  const path = files.put("tunnel.yaml", yaml, 0o644);
  // What it loads when it is first called must be loaded before this process may read less.
  await readTunnelFile(path, { need: "worker" }).catch(() => undefined);
  const me = process.geteuid?.() ?? 0;
  if (me === 0) process.seteuid?.(65_534);
  try {
    const error = await failure(readTunnelFile(path, { need: "worker" }));
    assert.match(error.message, new RegExp(`open ${join(files.path, "tls.key")}: permission denied`));
  } finally {
    if (me === 0) process.seteuid?.(0);
  }
});

test("an https upstream without a trust anchor is refused when the file is read", async () => {
  using files = folder();
  await refuses(route("https://docs:443"), 3, "no trust anchor for an https upstream");
  await files.read(`${route("https://docs:443")}upstream: { tls: { ca_file: ca.crt } }\n`);
  await files.read(`${route("https://docs:443")}upstream: { tls: { include_system_cas: true } }\n`);
  await refuses(
    `${route("https://docs:443")}upstream: { tls: { ca_file: token } }\n`,
    4,
    "holds no certificate",
  );
});

test("a file of authorities is refused when one of them is damaged, wherever it stands", async () => {
  using files = folder();
  const damaged = certPem.replace("\nM", "\nN");
  const cut = certPem.slice(0, certPem.length / 2);
  const texts: [text: string, number: number][] = [
    [damaged, 1],
    [`${cut}\n${certPem}`, 1],
    [certPem + damaged, 2],
    [`the old one\n${certPem}and the next\n${cut}`, 2],
  ];
  for (const [text, number] of texts) {
    const path = files.put("cas.crt", text);
    for (const yaml of [
      withUpstream(`tls: { ca_file: ${path} }`),
      withOurs(`client_ca_file: ${path}`),
      `${route("http://docs:80")}tls:\n  { cert_file: ${path}, key_file: tls.key }\n`,
    ]) {
      await refuses(yaml, 5, `${path}: certificate ${number} cannot be read`);
    }
  }
  files.put("cas.crt", `the old one\n${certPem}and the next\n${certPem}`);
  await files.read(withUpstream("tls: { ca_file: cas.crt }"));
});

test("our settings name routes that exist, and credentials that do not say who or where", async () => {
  await refuses(withOurs("routes: { wiki: { pin: deny } }"), 5, "no such route");
  await refuses(withOurs("routes:", "  docs: { pin: strict }"), 6, "none of off, warn, deny");
  await refuses(withOurs("routes:", "  docs: { tools: search }"), 6, "cannot unmarshal !!str into []string");
  const stamp = (text: string): string => withOurs("routes:", "  docs:", `    credential: ${text}`);
  for (const header of [
    "Host",
    "Content-Length",
    "transfer-encoding",
    "X-Forwarded-For",
    "a b",
    "x-request-id",
  ]) {
    await refuses(stamp(`{ header: "${header}", file: token }`), 7, "cannot carry a credential");
  }
  await refuses(stamp("{ header: x-api-key }"), 7, "needs exactly one of file and env");
  await refuses(
    stamp("{ header: x-api-key, file: token, env: TOKEN }"),
    7,
    "needs exactly one of file and env",
  );
  await refuses(stamp("{ header: x-api-key, env: SALLYPORT_TOKEN }"), 7, "cannot hold a credential");
  await refuses(stamp("{ header: x-api-key, env: NOT_SET_ANYWHERE }"), 7, "NOT_SET_ANYWHERE");
  await refuses(stamp('{ header: x-api-key, file: token, prefix: "a\\nb" }'), 7, "is not plain ASCII");
});

test("a credential that others can read is refused, without a word of it", async () => {
  using files = folder();
  files.put("token", "s3cret", 0o644);
  const yaml = withOurs("routes:", "  docs:", "    credential: { header: x-api-key, file: token }");
  const error = await failure(files.read(yaml));
  assert.match(error.message, /others can read this credential \(mode 0644\)/);
  assert.ok(!JSON.stringify(error.toWire()).includes("s3cret"));
});

test("a credential is read when it is used, so that a rotated one is noticed", async () => {
  using files = folder();
  const yaml = withOurs("routes:", "  docs:", "    credential: { header: x-api-key, file: token }");
  const config = await files.read(yaml);
  const credential = config.settings.get("docs")?.credential ?? assert.fail("no credential");
  assert.equal(await readCredential(credential), "s3cret");
  files.put("token", "rotated");
  assert.equal(await readCredential(credential), "rotated");
  const fromVariable = { ...credential, from: { env: "TUNNEL_FILE_TEST_TOKEN" } };
  process.env["TUNNEL_FILE_TEST_TOKEN"] = "from-variable";
  try {
    assert.equal(await readCredential(fromVariable), "from-variable");
  } finally {
    delete process.env["TUNNEL_FILE_TEST_TOKEN"];
  }
  await failure(readCredential(fromVariable));
});

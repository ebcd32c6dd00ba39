import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { readCredential, readTunnelFile, type TunnelFileOptions } from "../../../src/config/index.ts";
import { isError, SallyportError } from "../../../src/errors.ts";
import { createAuthority, type TunnelConfig } from "../../../src/tunnel/index.ts";

const { certPem, keyPem } = createAuthority({ commonName: "Test CA", days: 1 });

interface Folder extends Disposable {
  readonly path: string;
  put(name: string, content: string, mode?: number): string;
  read(yaml: string, options?: Partial<TunnelFileOptions>): Promise<TunnelConfig>;
}

function folder(): Folder {
  const path = mkdtempSync(join(tmpdir(), "sallyport-tunnel-file-"));
  const put = (name: string, content: string, mode = 0o600): string => {
    writeFileSync(join(path, name), content);
    chmodSync(join(path, name), mode);
    return join(path, name);
  };
  put("ca.crt", certPem);
  put("tls.crt", certPem);
  put("tls.key", keyPem);
  put("token", "s3cret\n");
  return {
    path,
    put,
    read: (yaml, options = {}) => readTunnelFile(put("tunnel.yaml", yaml), { need: "worker", ...options }),
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}

async function failure(reading: Promise<unknown>): Promise<SallyportError> {
  const error: unknown = await reading.then(
    () => assert.fail("it was accepted"),
    (thrown: unknown) => thrown,
  );
  assert.ok(isError(error, "config_invalid"), String(error));
  return error;
}

/** The reading fails at `line` with a message that holds `text`, and says how to mend it. */
async function refuses(
  yaml: string,
  line: number,
  text: string,
  options?: Partial<TunnelFileOptions>,
): Promise<void> {
  using files = folder();
  const error = await failure(files.read(yaml, options));
  const said = `${error.message} at ${String(error.details["line"])}`;
  assert.ok(error.message.includes(text), `${said}; expected ${text}`);
  assert.equal(error.details["line"], line, said);
  assert.ok(error.message.startsWith(`${join(files.path, "tunnel.yaml")}:${line}: `), said);
  assert.ok(String(error.details["fix"]).length > 0);
}

const documented = `listen_addr: ":8080"
log_level: debug
shutdown_timeout: 1m30s
tunnel_domain: abcd1234.tunnel.example
tls:
  cert_file: tls.crt
  key_file: tls.key
routes:
  docs: http://docs.internal:8080
  wiki.corp.example: https://10.1.2.3:8443
upstream:
  allowed_ips: [10.0.0.0/8, 127.0.0.1, "fd00::/8"]
  tls:
    ca_file: ca.crt
    include_system_cas: false
sallyport:
  routes:
    docs:
      credential: { header: Authorization, prefix: "Bearer ", file: token }
      tools: [search_docs]
      pin: off
  client_ca_file: ca.crt
  metrics_addr: 127.0.0.1:9090
`;

test("every documented key is read, and ours", async () => {
  using files = folder();
  const config = await files.read(documented, { need: "proxy" });
  const at = (name: string): string => join(files.path, name);
  assert.deepEqual(config, {
    file: at("tunnel.yaml"),
    listen: { host: "", port: 8080 },
    logLevel: "debug",
    shutdownTimeoutMs: 90_000,
    tunnelDomain: "abcd1234.tunnel.example",
    tls: { certFile: at("tls.crt"), keyFile: at("tls.key") },
    routes: new Map([
      ["docs", { scheme: "http", host: "docs.internal", port: 8080 }],
      ["wiki.corp.example", { scheme: "https", host: "10.1.2.3", port: 8443 }],
    ]),
    upstream: {
      allowedIps: ["10.0.0.0/8", "127.0.0.1", "fd00::/8"],
      disableIpValidation: false,
      tls: { caFile: at("ca.crt"), includeSystemCas: false },
    },
    settings: new Map([
      [
        "docs",
        {
          credential: { header: "authorization", prefix: "Bearer ", from: { file: at("token") } },
          tools: ["search_docs"],
          pin: "off",
        },
      ],
    ]),
    clientCaFile: at("ca.crt"),
    metrics: { host: "127.0.0.1", port: 9090 },
  });
  assert.ok(Object.isFrozen(config) && Object.isFrozen(config.upstream));
  assert.ok(!JSON.stringify([...config.settings]).includes("s3cret"));
});

test("what is left out has the documented default", async () => {
  using files = folder();
  const config = await files.read("routes: { docs.corp: 'http://docs:80' }\n");
  const { file: _, routes: __, ...rest } = config;
  assert.deepEqual(rest, {
    listen: null,
    logLevel: "info",
    shutdownTimeoutMs: 30_000,
    tunnelDomain: null,
    tls: null,
    upstream: {
      allowedIps: ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"],
      disableIpValidation: false,
      tls: { caFile: null, includeSystemCas: false },
    },
    settings: new Map(),
    clientCaFile: null,
    metrics: null,
  });
});

test("a tunnel domain that is handed in takes the place of the file's", async () => {
  using files = folder();
  const yaml = "tunnel_domain: a.example\nroutes: { docs: 'http://docs:80' }\n";
  const config = await files.read(yaml, { tunnelDomain: "B.example" });
  assert.equal(config.tunnelDomain, "b.example");
});

const route = (value: string): string => `tunnel_domain: t.example\nroutes:\n  docs: ${value}\n`;
const withUpstream = (...lines: string[]): string =>
  `${route("http://docs:80")}upstream:\n${lines.map((line) => `  ${line}\n`).join("")}`;
const withOurs = (...lines: string[]): string =>
  `${route("http://docs:80")}sallyport:\n${lines.map((line) => `  ${line}\n`).join("")}`;

test("documented mistakes have the documented texts", async () => {
  await refuses("routes:\n  - docs: http://docs:80\n", 1, "cannot unmarshal !!seq into map[string]string");
  await refuses("log_level: info\nroutes: text\n", 2, "cannot unmarshal !!str into map[string]string");
  await refuses(route("[http://docs:80]"), 3, "cannot unmarshal !!seq into string");
  const wrong = [
    "http://docs",
    "http://docs:80/",
    "http://docs:80/mcp",
    "http://docs:80?q",
    "http://docs:80#f",
    "http://user@docs:80",
    "http://docs:0",
    "http://docs:65536",
    "http://docs:080",
    "docs:80",
    "ftp://docs:80",
    "HTTP://docs:80",
    "http://127.1:80",
    "http://2130706433:80",
    "http://0x7f.1:80",
    "http://::1:80",
    '"http://[fe80::1%25eth0]:80"',
    '"http://docs\\\\x:80"',
    "http://docs.:80",
    '"http://docs:80 "',
  ];
  for (const value of wrong) await refuses(route(value), 3, "invalid upstream (must be scheme://host:port)");
});

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

test("who needs what: a proxy listens, a connector has a certificate, a worker needs neither", async () => {
  using files = folder();
  const tls = "tls: { cert_file: tls.crt, key_file: tls.key }\n";
  await files.read(route("http://docs:80"), { need: "worker" });
  await refuses(route("http://docs:80"), 1, "tls is missing", { need: "connector" });
  await files.read(route("http://docs:80") + tls, { need: "connector" });
  await refuses(route("http://docs:80") + tls, 1, "listen_addr is missing", { need: "proxy" });
  await refuses("log_level: info\n", 1, "routes is missing");
});

test("a misspelled, mistyped or doubled key is refused with its line", async () => {
  await refuses(`${route("http://docs:80")}log_levle: debug\n`, 4, "unknown key");
  await refuses(withUpstream("allowedIps: [10.0.0.0/8]"), 5, "unknown key");
  await refuses(withUpstream("tls: { ca: ca.crt }"), 5, "unknown key");
  await refuses(withOurs("routes: { docs: { tool: [a] } }"), 5, "unknown key");
  await refuses(`${route("http://docs:80")}  docs: http://other:80\n`, 4, "mapping key already defined");
  await refuses(`${route("http://docs:80")}routes: {}\n`, 4, "mapping key already defined");
  await refuses(`${route("http://docs:80")}log_level: verbose\n`, 4, "none of debug, info, warn, error");
  await refuses(`${route("http://docs:80")}shutdown_timeout: 30\n`, 4, "cannot unmarshal !!int into string");
  await refuses(withUpstream('disable_ip_validation: "true"'), 5, "cannot unmarshal !!str into bool");
  await refuses("- routes\n", 1, "cannot unmarshal !!seq into map");
  await refuses("", 1, "cannot unmarshal !!null into map");
  await refuses("routes: {\n", 2, "");
  await refuses("routes: &a { docs.corp: 'http://docs:80' }\n<<: *a\n", 2, "unknown key");
});

test("durations and addresses are exact", async () => {
  for (const text of ["soon", "30", "-1s", "1d", "1s30", "1 s", "1h1"]) {
    await refuses(`${route("http://docs:80")}shutdown_timeout: "${text}"\n`, 4, "invalid duration");
  }
  for (const text of ["8080", "host:", "a b:80", "::1:80", "127.1:80", ":65536", "[docs]:80"]) {
    await refuses(`${route("http://docs:80")}listen_addr: "${text}"\n`, 4, "is not an address");
  }
});

test("the address check is turned off, or given ranges, never both and never nothing", async () => {
  await refuses(
    withUpstream("disable_ip_validation: true", "allowed_ips: [10.0.0.0/8]"),
    6,
    "allowed_ips and disable_ip_validation are mutually exclusive",
  );
  for (const range of [
    "10.0.0.0/33",
    "10/8",
    "10.0.0",
    "0x0a.0.0.1",
    "docs",
    "fe80::1%eth0",
    "::ffff:0:0/90",
    "*",
  ]) {
    await refuses(withUpstream("allowed_ips:", `  - "${range}"`), 6, "invalid CIDR address");
  }
  await refuses(withUpstream("allowed_ips: []"), 5, "is empty");
  await refuses(withUpstream("allowed_ips:"), 5, "cannot unmarshal !!null into []string");
  await refuses(withUpstream("allowed_ips: 10.0.0.0/8"), 5, "cannot unmarshal !!str into []string");
  await refuses(withUpstream('allowed_ips: [""]'), 5, "is empty");
});

test("a route's key is a canonical host, stands for one hostname, and has a domain to stand below", async () => {
  for (const key of ["docs.", "docs_1", "127.0.0.1", "*", "d\u00f3cs", "docs:80", "docs/mcp", "2130706433"]) {
    await refuses(`tunnel_domain: t.example\nroutes:\n  "${key}": http://docs:80\n`, 3, "is not a hostname");
  }
  await refuses("routes:\n  docs: http://docs:80\n", 2, "a bare subdomain needs tunnel_domain");
  await refuses(`${route("http://docs:80")}  DOCS: http://other:80\n`, 4, "is the same hostname as");
  await refuses(
    `${route("http://docs:80")}  docs.t.example: http://other:80\n`,
    4,
    "is the same hostname as",
  );
  await refuses("tunnel_domain: t.example.\nroutes: {}\n", 1, "is not a hostname");
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

test("a file that is not there, a folder, or too large is refused by name", async () => {
  using files = folder();
  const missing = join(files.path, "nowhere.yaml");
  const error = await failure(readTunnelFile(missing, { need: "worker" }));
  assert.ok(error.message.includes(`open ${missing}: no such file or directory`));
  await failure(readTunnelFile(files.path, { need: "worker" }));
  await refuses(`${route("http://docs:80")}#${"x".repeat(1_048_576)}\n`, 1, "is larger than 1048576 bytes");
});

test("no text makes the reader fail with anything but a config_invalid that has a line", async () => {
  using files = folder();
  const parts = fc.constantFrom(
    "routes:",
    " docs",
    ": ",
    "\n",
    "  ",
    "[",
    "]",
    "{",
    "}",
    "*a",
    "&a",
    "!!map",
    "<<",
    "http://a:1",
    "'",
    '"',
    "|",
    "-",
    "?",
    "#",
    "\t",
    "~",
    "%",
    "sallyport:",
    "tls:",
    "upstream:",
  );
  await fc.assert(
    fc.asyncProperty(fc.array(parts, { maxLength: 14 }), async (pieces) => {
      try {
        await files.read(pieces.join(""));
      } catch (error) {
        assert.ok(isError(error, "config_invalid"), `${JSON.stringify(pieces.join(""))}: ${String(error)}`);
        assert.equal(typeof error.details["line"], "number");
      }
    }),
    { numRuns: 300 },
  );
});

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { readTunnelFile } from "../../../src/config/index.ts";
import { failure, folder, refuses, route } from "../../helpers/tunnel-file.ts";

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

test("who needs what: a proxy listens, a connector has a certificate, a worker needs neither", async () => {
  using files = folder();
  const tls = "tls: { cert_file: tls.crt, key_file: tls.key }\n";
  await files.read(route("http://docs:80"), { need: "worker" });
  await refuses(route("http://docs:80"), 1, "tls is missing", { need: "connector" });
  await files.read(route("http://docs:80") + tls, { need: "connector" });
  await refuses(route("http://docs:80") + tls, 1, "listen_addr is missing", { need: "proxy" });
  await refuses("log_level: info\n", 1, "routes is missing");
});

test("a file that is not there, a folder, or too large is refused by name", async () => {
  using files = folder();
  const missing = join(files.path, "nowhere.yaml");
  const error = await failure(readTunnelFile(missing, { need: "worker" }));
  assert.ok(error.message.includes(`open ${missing}: no such file or directory`));
  await failure(readTunnelFile(files.path, { need: "worker" }));
  await refuses(`${route("http://docs:80")}#${"x".repeat(1_048_576)}\n`, 1, "is larger than 1048576 bytes");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { isError } from "../../../src/errors.ts";
import { folder, refuses, route, withOurs, withUpstream } from "../../helpers/tunnel-file.ts";

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

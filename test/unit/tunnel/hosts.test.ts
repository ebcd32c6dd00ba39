import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { canonicalHost, splitHostPort } from "../../../src/tunnel/index.ts";

const usual = [
  "docs",
  "docs.example",
  "DOCS.Example",
  "a-b.c1.example",
  "1docs.example",
  "xn--dcs-jla.example",
];

const unusual = [
  "",
  ".",
  "docs.",
  ".docs",
  "a..b",
  "-docs.example",
  "docs-.example",
  "docs_1.example",
  "user@docs.example",
  "docs.example:443",
  "docs.example/",
  "docs\\.example",
  "docs%2eexample",
  "docs example",
  " docs",
  "docs\t",
  "docs\r\nHost: x",
  "evil\0.docs.example",
  "d\u00f3cs.example",
  "docs\u00ad.example",
  "docs\u200b.example",
  "\uff44ocs.example",
  "docs\u3002example",
  "\u212a.example",
  "①②⑦.example",
  "*",
  "*.example",
  `${"a".repeat(64)}.example`,
  `${"a.".repeat(127)}a`,
];

const addresses = [
  "127.0.0.1",
  "127.1",
  "2130706433",
  "0x7f.1",
  "0x7f000001",
  "0X7F000001",
  "017700000001",
  "0177.0.0.1",
  "0",
  "0x",
  "docs.0x10",
  "docs.1",
  "1.2.3.4.5",
  "::1",
  "[::1]",
  "[::ffff:127.0.0.1]",
  "::ffff:127.0.0.1%x.docs.example",
  "fe80::1%25eth0",
  "①②⑦.⓪.⓪.①",
];

test("a usual hostname is folded to lower case and otherwise left alone", () => {
  for (const text of usual) assert.equal(canonicalHost(text), text.toLowerCase(), text);
});

test("an unusual spelling is refused, not repaired", () => {
  for (const text of unusual) assert.equal(canonicalHost(text), undefined, JSON.stringify(text));
});

test("an IP address is no hostname, however it is spelled", () => {
  for (const text of addresses) assert.equal(canonicalHost(text), undefined, text);
});

test("what comes out is canonical: reading it again changes nothing, and URL parsers read the same host", () => {
  const label = fc.stringMatching(/^[A-Za-z0-9-]{1,8}$/);
  const near = fc.oneof(
    fc.array(label, { minLength: 1, maxLength: 5 }).map((parts) => parts.join(".")),
    fc.string(),
  );
  fc.assert(
    fc.property(near, (text) => {
      const host = canonicalHost(text);
      if (host === undefined) return;
      assert.equal(canonicalHost(host), host);
      assert.match(host, /^[a-z0-9.-]+$/);
      if (!host.includes("xn--")) assert.equal(new URL(`http://${host}/`).hostname, host);
    }),
    { numRuns: 2_000 },
  );
});

test("no character outside letters, digits, hyphen and dot gets through, wherever it stands", () => {
  fc.assert(
    fc.property(fc.nat(0xffff), fc.nat(12), (code, at) => {
      const unit = String.fromCharCode(code);
      const host = "docs.example";
      const mixed = `${host.slice(0, at)}${unit}${host.slice(at)}`;
      if (!/^[A-Za-z0-9.-]$/.test(unit)) assert.equal(canonicalHost(mixed), undefined);
    }),
    { numRuns: 2_000 },
  );
});

test("a port is digits from 1 to 65535 and nothing else", () => {
  assert.deepEqual(splitHostPort("Docs.example:443"), { host: "docs.example", port: 443 });
  assert.deepEqual(splitHostPort("docs.example"), { host: "docs.example", port: null });
  const wrong = [
    "",
    "0",
    "-1",
    "65536",
    "443 ",
    " 443",
    "+443",
    "0443",
    "4e2",
    "443:80",
    "99999999",
    "４４３",
  ];
  for (const port of wrong) assert.equal(splitHostPort(`docs.example:${port}`), undefined, port);
  assert.equal(splitHostPort("[::1]:443"), undefined);
  assert.equal(splitHostPort(":443"), undefined);
});

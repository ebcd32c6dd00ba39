import assert from "node:assert/strict";
import { test } from "node:test";
import { createRouteTable, type RouteTable, type UpstreamAddress } from "../../../src/tunnel/index.ts";

const to = (host: string): UpstreamAddress => ({ scheme: "http", host, port: 8080 });

function table(tunnelDomain: string | null, ...keys: string[]): RouteTable {
  return createRouteTable({
    tunnelDomain,
    routes: new Map(keys.map((key) => [key, to(`${key}.internal`)])),
    settings: new Map([["docs", { credential: null, tools: ["search"], pin: "deny" as const }]]),
  });
}

test("a full hostname is matched exactly, before a subdomain below the tunnel domain", () => {
  const routes = table("t.example", "docs", "wiki.t.example", "mcp.corp");
  assert.equal(routes.match("docs.t.example")?.key, "docs");
  assert.equal(routes.match("wiki.t.example")?.upstream.host, "wiki.t.example.internal");
  assert.equal(routes.match("mcp.corp")?.key, "mcp.corp");
});

test("a look-alike matches nothing", () => {
  const routes = table("t.example", "docs");
  const names = [
    "docs",
    "t.example",
    "notdocs.t.example",
    "docs.t.example.evil",
    "docst.example",
    "a.docs.t.example",
    "docs.evil.example",
    ".t.example",
    "xn--docs-9la.t.example",
    "constructor.t.example",
    "__proto__",
  ];
  for (const name of names) assert.equal(routes.match(name), undefined, name);
});

test("without a tunnel domain only full hostnames match", () => {
  const routes = table(null, "docs.corp");
  assert.equal(routes.match("docs.corp")?.key, "docs.corp");
  assert.equal(routes.match("docs"), undefined);
});

test("every route is known by its full hostname, and by its short name where it has one", () => {
  assert.deepEqual(table("t.example", "docs", "wiki.t.example", "mcp.corp").knownRoutes(), [
    { host: "docs.t.example", name: "docs" },
    { host: "wiki.t.example", name: "wiki" },
    { host: "mcp.corp", name: null },
  ]);
});

test("a route has the settings written for its key, and plain ones without", () => {
  const routes = table("t.example", "docs", "wiki");
  assert.deepEqual(routes.match("docs.t.example")?.settings.tools, ["search"]);
  assert.deepEqual(routes.match("wiki.t.example")?.settings, { credential: null, tools: null, pin: "off" });
});

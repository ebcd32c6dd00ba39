/** What a profile and a job get of the network, as pure functions of ceiling, grants and routes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { isError, type ErrorCode } from "../../../src/errors.ts";
import type { McpGrant } from "../../../src/protocol/index.ts";
import type { Profile } from "../../../src/sandbox/index.ts";
import { grantsOf, outfitOf, plainOutfit, watchRoutes } from "../../../src/worker/network.ts";
import { fakeNetwork, testDomain } from "../../helpers/fake-network.ts";
import { testProfile } from "../../helpers/simulated-hub.ts";

interface Entry {
  host: string;
  tools?: string[] | undefined;
}

const ceiling = (...mcp: Entry[]): Profile => testProfile("p", { network: { mcp } });
const granted = (mcp: McpGrant[], profile: Profile, ...routes: string[]): McpGrant[] =>
  grantsOf({ mcp }, profile, fakeNetwork(...routes));
const docs = `docs.${testDomain}`;

function refuses(code: ErrorCode, field: string, act: () => unknown): void {
  assert.throws(act, (error) => isError(error, code) && error.details["field"] === field);
}

test("without a network, or a profile that allows one, a sandbox gets nothing of it", () => {
  assert.equal(outfitOf(ceiling({ host: "*" }), undefined), plainOutfit);
  assert.equal(outfitOf(ceiling(), fakeNetwork("docs")), plainOutfit);
});

test("names of every route that the ceiling allows resolve, and the authority is where every client looks", () => {
  const network = fakeNetwork("wiki", "docs");
  const all = outfitOf(ceiling({ host: "*" }), network);
  assert.deepEqual(all.hosts, [docs, `wiki.${testDomain}`]);
  assert.deepEqual(Object.keys(all.env).sort(), [
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
  ]);
  assert.equal(all.caPem, network.caPem);
  const some = outfitOf(ceiling({ host: "docs" }, { host: docs }, { host: "gone" }), network);
  assert.deepEqual(some.hosts, [docs]);
});

test("a grant stands for the full name, however it and the ceiling write it", () => {
  for (const inJob of ["docs", docs]) {
    for (const inProfile of ["docs", docs, "*"]) {
      const [grant] = granted([{ host: inJob }], ceiling({ host: inProfile }), "docs");
      assert.equal(grant?.host, docs, `${inJob} under ${inProfile}`);
    }
  }
});

test("a host above the ceiling, an unknown route and a host that stands twice are refused, naming the field", () => {
  const one = ceiling({ host: "docs" });
  refuses("host_not_allowed", "mcp[1].host", () =>
    granted([{ host: "docs" }, { host: "wiki" }], one, "docs", "wiki"),
  );
  refuses("host_not_allowed", "mcp[0].host", () => granted([{ host: "nowhere" }], one, "docs"));
  refuses("route_unknown", "mcp[0].host", () => granted([{ host: "docs" }], one));
  refuses("route_unknown", "mcp[0].host", () => granted([{ host: "docs" }], ceiling({ host: "*" })));
  refuses("request_invalid", "mcp[1].host", () => granted([{ host: "docs" }, { host: docs }], one, "docs"));
  refuses("host_not_allowed", "mcp[0].host", () =>
    grantsOf({ mcp: [{ host: "docs" }] }, ceiling(), undefined),
  );
});

test("a job never gets a tool that its profile's entry for the host leaves out", () => {
  const tools = fc.option(fc.uniqueArray(fc.constantFrom("a", "b", "c", "d")), { nil: undefined });
  fc.assert(
    fc.property(tools, tools, tools, (wanted, named, any) => {
      const entries: Entry[] = [{ host: "*", ...(any && { tools: any }) }];
      if (named !== undefined) entries.unshift({ host: "docs", tools: named });
      const [grant] = granted([{ host: docs, tools: wanted }], ceiling(...entries), "docs");
      const allowed = named ?? any;
      for (const tool of ["a", "b", "c", "d"] as const) {
        const may = grant?.tools?.includes(tool) ?? true;
        assert.equal(may, (wanted?.includes(tool) ?? true) && (allowed?.includes(tool) ?? true), tool);
      }
    }),
  );
});

test("routes that change many times at once are told once, and not at all once nobody listens", async () => {
  const network = fakeNetwork("docs");
  let told = 0;
  const watching = watchRoutes(network, 5, () => (told += 1));
  for (let turn = 0; turn < 10; turn += 1) network.setRoutes([`r${turn}`]);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(told, 1);
  network.setRoutes(["last"]);
  watching[Symbol.dispose]();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(told, 1);
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import type { ExplainRequest, ExplainStep } from "../../../src/cli/index.ts";
import { cli } from "./harness.ts";

const url = "https://docs.t.example/mcp";
const route: ExplainStep = { layer: "route", ok: true, detail: "docs → http://docs.internal:80", fix: null };
const ip: ExplainStep = { layer: "ip", ok: false, detail: "IP validation failed", fix: "list the range" };

function explaining(steps: ExplainStep[]): {
  asked: Omit<ExplainRequest, "signal">[];
  explain: (request: ExplainRequest) => Promise<ExplainStep[]>;
} {
  const asked: Omit<ExplainRequest, "signal">[] = [];
  return {
    asked,
    explain: async ({ signal, ...request }) => {
      assert.ok(!signal.aborted);
      asked.push(request);
      return steps;
    },
  };
}

async function answering(body: unknown): Promise<{ url: string } & AsyncDisposable> {
  const server = createServer((_request, reply) => reply.end(JSON.stringify(body))).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

test("doctor --explain names the first layer that fails, its fix, and exits with 1", async () => {
  const { asked, explain } = explaining([route, ip]);
  using run = cli({ roles: { explain } });
  assert.equal(await run.raw("doctor", "--explain", url, "--tunnel", "tunnel.yaml"), 1);
  const text = run.stdout().toString();
  assert.match(text, /^HOLDS {2}LAYER {2}DETAIL\nyes +route .*\nNO +ip +IP validation failed\n/);
  assert.match(text, /\nfix for ip: list the range\n$/);
  const nothing = { edge: undefined, caFile: undefined, known: undefined };
  assert.deepEqual(asked, [{ url, tunnelFile: join(run.cwd, "tunnel.yaml"), ...nothing }]);
});

test("doctor --explain exits with 0 when every layer holds, and prints JSON when asked", async () => {
  using run = cli({ roles: { explain: explaining([route]).explain } });
  assert.equal(await run.raw("doctor", "--explain", url, "--edge", "hub:7443", "--json"), 0);
  assert.deepEqual(JSON.parse(run.stdout().toString()), { url, steps: [route] });
});

test("doctor --explain asks the hub that other commands find when no other way is given", async () => {
  const told = { host: "docs.t.example", name: "docs", connectors: 1, checkedAt: null } as const;
  const routes = [{ ...told, state: "down", layer: "dial", reason: "refused" }];
  await using hub = await answering({ routes });
  const { asked, explain } = explaining([route]);
  const variables = { SALLYPORT_HUB: hub.url, SALLYPORT_KEY_FILE: "key" };
  using run = cli({ roles: { explain }, variables });
  assert.equal(await run.raw("doctor", "--explain", url), 0);
  assert.deepEqual(asked[0]?.known, routes);
  assert.equal(await run.raw("doctor", "--explain", url, "--tunnel", "tunnel.yaml"), 0);
  assert.equal(asked[1]?.known, undefined);
});

test("doctor --explain without a way to look is a wrong command line", async () => {
  using run = cli();
  assert.equal(await run.raw("doctor", "--explain", url), 2);
  assert.match(run.stderr(), /--tunnel FILE/);
});

test("doctor refuses what it would leave out: how to look without a URL, and whom to believe without an edge", async () => {
  const lines: [flag: string, ...line: string[]][] = [
    ["--tunnel", "--tunnel", "tunnel.yaml"],
    ["--edge", "--edge", "hub:7443"],
    ["--hub", "--hub", "http://127.0.0.1:1"],
    ["--ca", "--explain", url, "--tunnel", "tunnel.yaml", "--ca", "ca.crt"],
  ];
  for (const [flag, ...line] of lines) {
    using run = cli();
    assert.equal(await run.raw("doctor", ...line), 2, flag);
    assert.match(run.stderr(), new RegExp(`^error: ${flag}: goes with`));
  }
});

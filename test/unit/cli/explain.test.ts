import assert from "node:assert/strict";
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

test("doctor --explain without a way to look is a wrong command line", async () => {
  using run = cli();
  assert.equal(await run.raw("doctor", "--explain", url), 2);
  assert.match(run.stderr(), /--tunnel FILE/);
});

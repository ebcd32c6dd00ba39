/** What `npm test` puts away of tests that were killed before they could: their processes, and what their workers have made. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { removeSandboxes } from "../../../scripts/test/sandboxes.mjs";
import { Scratch } from "../../../scripts/test/scratch.mjs";

interface Run extends Disposable {
  tmp: string;
  stop(): void;
  workers(): string[];
}

function startRun(): Run {
  const scratch = new Scratch();
  return {
    tmp: scratch.env.TMPDIR,
    stop: () => scratch.stop(),
    workers: () => scratch.workers(),
    [Symbol.dispose]: () => scratch.dispose(),
  };
}

test("a process that works in a folder of the run is ended, also when its command line names none", async () => {
  using run = startRun();
  const cwd = mkdtempSync(join(run.tmp, "dev-"));
  const child = spawn("sleep", ["60"], { cwd, stdio: "ignore" });
  await once(child, "spawn");
  const exit = once(child, "exit");
  run.stop();
  const late = setTimeout(() => child.kill("SIGTERM"), 10_000);
  assert.deepEqual(await exit, [null, "SIGKILL"]);
  clearTimeout(late);
});

test("containers of the run's own workers are removed, those of any other are left alone", async () => {
  using run = startRun();
  const state = join(run.tmp, "fleet", "worker");
  mkdirSync(state, { recursive: true });
  writeFileSync(join(state, "worker-id"), "worker-of-this-run\n");
  const label = "dev.sallyport.worker";
  let containers = [
    { Id: "created", State: "created", Labels: { [label]: "worker-of-this-run" } },
    { Id: "others", State: "created", Labels: { [label]: "worker-of-another" } },
  ];
  const engine = createServer(({ method, url }, reply) => {
    if (method === "GET") return void reply.end(JSON.stringify(containers));
    containers = containers.filter(({ Id }) => url !== `/containers/${Id}?force=1`);
    reply.writeHead(204).end();
  });
  const socket = join(run.tmp, "engine.sock");
  await once(engine.listen(socket), "listening");
  await removeSandboxes(`unix://${socket}`, run.workers());
  assert.deepEqual(
    containers.map(({ Id }) => Id),
    ["others"],
  );
  engine.close();
});

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { json, result, scriptedHub } from "../client/scripted-hub.ts";
import { cli } from "./harness.ts";
import { finished, headers, job, openJob, output, queued, routes } from "./scripted-job.ts";

test("Ctrl-C cancels, waits for the end, keeps the last output and exits 130", async () => {
  const { submit, followed } = openJob(output("stdout", 0, Buffer.from("a\n")));
  const cancelled = { state: "cancelled", reason: "cancelled", exitCode: null, signal: "SIGTERM" };
  const last = output("stdout", 2, Buffer.from("bye\n")) + finished(cancelled);
  await using hub = await scriptedHub(
    routes({
      "POST /v1/jobs": submit,
      "POST /v1/jobs/job_1/cancel": async (req, res) => {
        json(202, job({ cancelRequested: true }))(req, res);
        const events = await followed;
        setTimeout(() => events.end(last), 50);
      },
      "GET /v1/jobs/job_1": () => undefined,
    }),
  );
  using command = cli();
  const exit = command.run(hub.url, "run", "--", "sleep", "60");
  await followed;
  while (command.stdout().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  command.signal("SIGINT");
  assert.equal(await exit, 130);
  assert.equal(command.stdout().toString(), "a\nbye\n");
});

test("a second Ctrl-C leaves at once", async () => {
  const cancelling = Promise.withResolvers<void>();
  const { submit, followed } = openJob();
  await using hub = await scriptedHub(
    routes({
      "POST /v1/jobs": submit,
      "POST /v1/jobs/job_1/cancel": () => cancelling.resolve(),
    }),
  );
  using command = cli();
  const exit = command.run(hub.url, "run", "--", "sleep", "60");
  await followed;
  command.signal("SIGINT");
  await cancelling.promise;
  command.signal("SIGINT");
  assert.equal(await exit, 130);
});

test("SIGTERM cancels too and exits 143", async () => {
  const { submit, followed } = openJob();
  await using hub = await scriptedHub(
    routes({
      "POST /v1/jobs": submit,
      "POST /v1/jobs/job_1/cancel": async (req, res) => {
        json(202, job())(req, res);
        (await followed).end(finished({ state: "cancelled", reason: "cancelled", exitCode: null }));
      },
      "GET /v1/jobs/job_1": json(
        200,
        job({ state: "cancelled", result: { ...result, reason: "cancelled" } }),
      ),
    }),
  );
  using command = cli();
  const exit = command.run(hub.url, "run", "--", "sleep", "60");
  await followed;
  command.signal("SIGTERM");
  assert.equal(await exit, 143);
});

test("Ctrl-C while a file is fetched leaves no part of it", async () => {
  await using hub = await scriptedHub(
    routes({
      "POST /v1/jobs": (_req, res) => void res.writeHead(200, headers).end(queued + finished()),
      "GET /v1/jobs/job_1/artifacts/big": (_req, res) => void res.writeHead(200).write("some"),
    }),
  );
  using command = cli();
  const exit = command.run(hub.url, "run", "--output", "big", "-c", "1");
  const names = (): string[] => readdirSync(command.cwd).filter((name) => name !== "key");
  while (names().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  command.signal("SIGINT");
  assert.equal(await exit, 130);
  assert.deepEqual(names(), []);
});

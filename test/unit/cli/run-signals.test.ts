import assert from "node:assert/strict";
import { test } from "node:test";
import { json, result, scriptedHub } from "../client/scripted-hub.ts";
import { cli } from "./harness.ts";
import { finished, headers, job, output, queued, routes } from "./scripted-job.ts";

test("Ctrl-C cancels, waits for the end, keeps the last output and exits 130", async () => {
  let end = (): void => undefined;
  const started = Promise.withResolvers<void>();
  await using hub = await scriptedHub(
    routes({
      "POST /v1/jobs": (req, res) => {
        req.resume();
        res.writeHead(200, headers).write(queued + output("stdout", 0, Buffer.from("a\n")));
        end = () => {
          const cancelled = { state: "cancelled", reason: "cancelled", exitCode: null, signal: "SIGTERM" };
          res.end(output("stdout", 2, Buffer.from("bye\n")) + finished(cancelled));
        };
        started.resolve();
      },
      "POST /v1/jobs/job_1/cancel": (req, res) => {
        json(202, job({ cancelRequested: true }))(req, res);
        setTimeout(end, 50);
      },
      "GET /v1/jobs/job_1": () => undefined,
    }),
  );
  using command = cli();
  const exit = command.run(hub.url, "run", "--", "sleep", "60");
  await started.promise;
  while (command.stdout().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  command.signal("SIGINT");
  assert.equal(await exit, 130);
  assert.equal(command.stdout().toString(), "a\nbye\n");
});

test("a second Ctrl-C leaves at once", async () => {
  const cancelling = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  await using hub = await scriptedHub(
    routes({
      "POST /v1/jobs": (req, res) => {
        req.resume();
        res.writeHead(200, headers).write(queued);
        started.resolve();
      },
      "POST /v1/jobs/job_1/cancel": () => cancelling.resolve(),
    }),
  );
  using command = cli();
  const exit = command.run(hub.url, "run", "--", "sleep", "60");
  await started.promise;
  command.signal("SIGINT");
  await cancelling.promise;
  command.signal("SIGINT");
  assert.equal(await exit, 130);
});

test("SIGTERM cancels too and exits 143", async () => {
  let end = (): void => undefined;
  const started = Promise.withResolvers<void>();
  await using hub = await scriptedHub(
    routes({
      "POST /v1/jobs": (req, res) => {
        req.resume();
        res.writeHead(200, headers).write(queued);
        end = () => void res.end(finished({ state: "cancelled", reason: "cancelled", exitCode: null }));
        started.resolve();
      },
      "POST /v1/jobs/job_1/cancel": (req, res) => {
        json(202, job())(req, res);
        setImmediate(end);
      },
      "GET /v1/jobs/job_1": json(
        200,
        job({ state: "cancelled", result: { ...result, reason: "cancelled" } }),
      ),
    }),
  );
  using command = cli();
  const exit = command.run(hub.url, "run", "--", "sleep", "60");
  await started.promise;
  command.signal("SIGTERM");
  assert.equal(await exit, 143);
});

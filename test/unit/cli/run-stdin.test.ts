import assert from "node:assert/strict";
import { text } from "node:stream/consumers";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { json, scriptedHub, sse } from "../client/scripted-hub.ts";
import { cli } from "./harness.ts";
import { finished, headers, job, openJob, queued, routes } from "./scripted-job.ts";

test("stdin is sent as it comes, and its end with it", async () => {
  let got = "";
  const { submit, followed } = openJob();
  await using hub = await scriptedHub(
    routes({
      "POST /v1/jobs": submit,
      "POST /v1/jobs/job_1/stdin": async (req, res) => {
        got = await text(req);
        res.writeHead(204).end();
        (await followed).end(finished());
      },
    }),
  );
  const stdin = new PassThrough();
  using command = cli({ stdin });
  stdin.end("hello");
  assert.equal(await command.run(hub.url, "run", "--", "cat"), 0);
  assert.equal(got, "hello");
});

test("an open stdin that nobody writes to neither opens a request nor holds the end up", async () => {
  await using hub = await scriptedHub(sse(queued + finished(), { headers }));
  const stdin = new PassThrough();
  using command = cli({ stdin });
  assert.equal(await command.run(hub.url, "run", "-c", "print(1)"), 0);
  assert.deepEqual(hub.seen, ["POST /v1/jobs"]);
  assert.ok(stdin.destroyed);
});

test("a program that closes its stdin early is no failure", async () => {
  const { submit, followed } = openJob();
  await using hub = await scriptedHub(
    routes({
      "POST /v1/jobs": submit,
      "POST /v1/jobs/job_1/stdin": async (req, res) => {
        json(409, { error: { code: "stdin_closed", message: "closed" } })(req, res);
        (await followed).end(finished());
      },
    }),
  );
  const stdin = new PassThrough();
  using command = cli({ stdin });
  stdin.write("hello");
  assert.equal(await command.run(hub.url, "run", "--", "true"), 0);
  assert.equal(command.stderr(), "");
});

test("a connection that breaks while stdin is sent cancels the job and exits 125", async () => {
  const done = Promise.withResolvers<void>();
  await using hub = await scriptedHub(
    routes({
      "POST /v1/jobs": openJob().submit,
      "POST /v1/jobs/job_1/stdin": (req, res) => {
        if (req.url?.includes("more") === true) res.writeHead(204).end();
        else req.once("data", () => req.socket.destroy());
      },
      "POST /v1/jobs/job_1/cancel": (req, res) => {
        done.resolve();
        json(202, job())(req, res);
      },
    }),
  );
  const stdin = new PassThrough();
  using command = cli({ stdin });
  stdin.write("hello");
  assert.equal(await command.run(hub.url, "run", "--", "cat"), 125);
  await done.promise;
  assert.match(command.stderr(), /error: the connection broke while stdin was sent/);
});

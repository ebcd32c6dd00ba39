import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { text } from "node:stream/consumers";
import { Writable } from "node:stream";
import { join } from "node:path";
import { test } from "node:test";
import { json, result, scriptedHub, sse } from "../client/scripted-hub.ts";
import { cli } from "./harness.ts";
import { finished, headers, job, openJob, output, queued, routes } from "./scripted-job.ts";

test("the job's streams are ours byte for byte, apart, and so is its exit code", async () => {
  const bytes = Buffer.from([0, 255, 10, 0xc3]);
  const all =
    queued +
    output("stdout", 0, bytes) +
    output("stderr", 0, Buffer.from("err\n")) +
    finished({ exitCode: 3 });
  await using hub = await scriptedHub(sse(all, { headers }));
  using command = cli();
  assert.equal(await command.run(hub.url, "run", "--", "sh", "-c", "exit 3"), 3);
  assert.deepEqual(command.stdout(), bytes);
  assert.equal(command.stderr(), "err\n");
});

test("--json prints the result as a last line of its own", async () => {
  await using hub = await scriptedHub(
    sse(queued + output("stdout", 0, Buffer.from("42")) + finished(), { headers }),
  );
  using command = cli();
  assert.equal(await command.run(hub.url, "run", "-c", "print(42)", "--json"), 0);
  const [first, second, rest] = command.stdout().toString().split("\n");
  assert.equal(first, "42");
  assert.deepEqual(JSON.parse(second ?? ""), { id: "job_1", ...result });
  assert.equal(rest, "");
});

test("what stands behind -- reaches the job untouched", async () => {
  let body = "";
  await using hub = await scriptedHub(async (req, res) => {
    body = await text(req);
    return sse(queued + finished(), { headers })(req, res);
  });
  using command = cli();
  await command.run(hub.url, "run", "--", "grep", "--json", "-c", "--", "--help");
  const request = JSON.parse(body) as { command: string[]; stdin?: unknown };
  assert.deepEqual(request.command, ["grep", "--json", "-c", "--", "--help"]);
  assert.equal(request.stdin, undefined);
});

test("a timeout exits 124 and says so on stderr", async () => {
  const end = { state: "timed_out", reason: "timeout", exitCode: null, signal: "SIGTERM" };
  await using hub = await scriptedHub(sse(queued + finished(end), { headers }));
  using command = cli();
  assert.equal(await command.run(hub.url, "run", "--timeout", "1s", "--", "sleep", "60"), 124);
  assert.match(command.stderr(), /^sallyport: the job ran into its timeout/);
});

test("an error of the hub exits 125 with message and fix, or as JSON", async () => {
  const error = { code: "profile_unknown", message: "no profile x", details: { fix: "use python" } };
  await using hub = await scriptedHub(json(404, { error }));
  using command = cli();
  assert.equal(await command.run(hub.url, "run", "--profile", "x", "-c", "1"), 125);
  assert.equal(command.stderr(), "error: no profile x\nfix: use python\n");
  using other = cli();
  assert.equal(await other.run(hub.url, "run", "--json", "--profile", "x", "-c", "1"), 125);
  assert.deepEqual(JSON.parse(other.stderr()), { error });
});

test("a reader of our stdout that goes away cancels the job quietly", async () => {
  let cancelled = false;
  await using hub = await scriptedHub(
    routes({
      "POST /v1/jobs": openJob(output("stdout", 0, Buffer.from("y\n"))).submit,
      "POST /v1/jobs/job_1/cancel": (req, res) => {
        cancelled = true;
        json(202, job())(req, res);
      },
    }),
  );
  const stdoutStream = new Writable({
    write: (_chunk, _encoding, done) => done(Object.assign(new Error("write EPIPE"), { code: "EPIPE" })),
  });
  using command = cli({ stdoutStream });
  assert.equal(await command.run(hub.url, "run", "--", "yes"), 141);
  assert.equal(cancelled, true);
  assert.equal(command.stderr(), "");
});

test("a slow reader of our stdout slows the events down, not our memory", async () => {
  const block = output("stdout", 0, Buffer.alloc(2 ** 18, 97));
  let sent = 0;
  await using hub = await scriptedHub(
    routes({
      "POST /v1/jobs": (req, res) => {
        req.resume();
        res.writeHead(200, headers).write(queued);
        const pump = (): void => {
          do sent += 1;
          while (res.write(block) && sent < 1_000);
          if (sent < 1_000) res.once("drain", pump);
        };
        pump();
      },
      "POST /v1/jobs/job_1/cancel": json(202, job()),
      "GET /v1/jobs/job_1": json(200, job({ state: "cancelled", result })),
    }),
  );
  const stuck = new Writable({ write: () => undefined });
  using command = cli({ stdoutStream: stuck });
  const exit = command.run(hub.url, "run", "--", "yes");
  let before: number;
  do {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 200));
  } while (before !== sent || before === 0);
  assert.ok(sent < 200, `${sent} blocks were taken although nobody reads`);
  command.signal("SIGINT");
  assert.equal(await exit, 130);
});

test("artifacts are fetched after the job, and a missing one makes success a failure", async () => {
  await using hub = await scriptedHub(
    routes({
      "POST /v1/jobs": sse(queued + finished(), { headers }),
      "GET /v1/jobs/job_1/artifacts/out.csv": (_req, res) => void res.writeHead(200).end("a,b\n"),
      "GET /v1/jobs/job_1/artifacts/none": json(404, {
        error: { code: "artifact_unknown", message: "not there" },
      }),
    }),
  );
  using command = cli();
  assert.equal(await command.run(hub.url, "run", "--output", "out.csv:sub/o.csv", "-c", "1"), 0);
  assert.equal(readFileSync(join(command.cwd, "sub/o.csv"), "utf8"), "a,b\n");
  assert.equal(await command.run(hub.url, "run", "--output", "none", "-c", "1"), 1);
  assert.match(command.stderr(), /error: --output none: not there/);
  assert.deepEqual(readdirSync(command.cwd).sort(), ["key", "sub"]);
});

test("--detach prints the id and does not wait", async () => {
  await using hub = await scriptedHub(json(201, job({ state: "queued" })));
  using command = cli();
  assert.equal(await command.run(hub.url, "run", "--detach", "-c", "1"), 0);
  assert.equal(command.stdout().toString(), "job_1\n");
});

test("nobody at the hub's address exits 125 with the address and a fix", async () => {
  const gone = await scriptedHub(json(200, {}));
  await gone[Symbol.asyncDispose]();
  using command = cli();
  assert.equal(await command.run(gone.url, "run", "-c", "1"), 125);
  assert.match(command.stderr(), new RegExp(`^error: no hub answers at ${gone.url}.*\nfix: start one`));
});

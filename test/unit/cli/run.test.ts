import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { text } from "node:stream/consumers";
import { PassThrough, Writable } from "node:stream";
import { join } from "node:path";
import { test } from "node:test";
import { event, json, result, scriptedHub, sse, type Handler } from "../client/scripted-hub.ts";
import { cli } from "./harness.ts";

const headers = { "x-job-id": "job_1" };
const queued = event("0:0", "queued", { job: "job_1", at: 1 });
const finished = (change: object = {}): string =>
  event("1:9:end", "finished", { result: { ...result, ...change } });
const output = (stream: string, offset: number, bytes: Uint8Array): string =>
  event(`1:${offset + 1}`, stream, { at: 1, offset, base64: Buffer.from(bytes).toString("base64") });
const job = (change: object = {}): object => ({
  id: "job_1",
  state: "running",
  profile: "shell",
  tenant: "default",
  createdAt: "2026-01-01T00:00:00.000Z",
  priority: 0,
  labels: {},
  cancelRequested: false,
  attempts: [],
  result: null,
  ...change,
});

/** Answers by path, so that requests may come in any order. */
function routes(table: Record<string, Handler>): Handler {
  return (request, response) => {
    const path = `${request.method} ${request.url?.split("?")[0]}`;
    const handler = table[path];
    if (handler === undefined) throw new Error(`unexpected ${path}`);
    return handler(request, response);
  };
}

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

test("stdin is sent as it comes, and its end with it", async () => {
  let got = "";
  let release = (): void => undefined;
  await using hub = await scriptedHub(
    routes({
      "POST /v1/jobs": (req, res) => {
        req.resume();
        res.writeHead(200, headers).write(queued);
        release = () => void res.end(finished());
      },
      "POST /v1/jobs/job_1/stdin": async (req, res) => {
        got = await text(req);
        res.writeHead(204).end();
        release();
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
  let release = (): void => undefined;
  await using hub = await scriptedHub(
    routes({
      "POST /v1/jobs": (req, res) => {
        req.resume();
        res.writeHead(200, headers).write(queued);
        release = () => void res.end(finished());
      },
      "POST /v1/jobs/job_1/stdin": (req, res) => {
        json(409, { error: { code: "stdin_closed", message: "closed" } })(req, res);
        setImmediate(release);
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
      "POST /v1/jobs": (req, res) => {
        req.resume();
        res.writeHead(200, headers).write(queued);
      },
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

test("a reader of our stdout that goes away cancels the job quietly", async () => {
  let cancelled = false;
  await using hub = await scriptedHub(
    routes({
      "POST /v1/jobs": (req, res) => {
        req.resume();
        res.writeHead(200, headers).write(queued + output("stdout", 0, Buffer.from("y\n")));
      },
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

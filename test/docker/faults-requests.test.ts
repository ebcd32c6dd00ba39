/** Bad requests, bad profiles and wrong keys: each a coded error that names the thing, and no secret in anything that is logged. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { chmod, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { errorCodes, type WireError } from "../../src/errors.ts";
import { rawEngine, requireEngine } from "../helpers/docker.ts";
import type { Process } from "../helpers/fleet-process.ts";
import { Fleet } from "../helpers/fleet.ts";
import { over, pythonProfile, script, shellProfile, started, verdictOf } from "../helpers/fleet-jobs.ts";
import { eventually } from "../helpers/hub.ts";

const skip = await requireEngine();

/** Texts that no line of any process may hold */
const secrets = {
  env: "env-value-0b71c9",
  code: "code-of-the-job-93ad",
  argument: "argument-of-the-job-71fe",
  stdin: "stdin-of-the-job-5d20",
  file: "file-of-the-job-e8c4",
};

let fleet: Fleet;
let dev: Process;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.make({ logLevel: "trace" });
  const profiles = await fleet.profiles(
    "profiles",
    shellProfile,
    pythonProfile,
    { ...shellProfile, name: "no-image", image: "sallyport/there-is-none:ever" },
    { ...shellProfile, name: "mistyped", limits: { ...shellProfile.limits, wallClok: "10s" } },
  );
  dev = await fleet.startDev(["--profiles", profiles]);
});

after(async () => {
  if (skip === false) await fleet[Symbol.asyncDispose]();
});

interface Asked {
  path?: string;
  method?: string;
  key?: string | null;
  type?: string;
  body?: string | Buffer;
}

async function ask(asked: Asked): Promise<{ status: number; error: WireError }> {
  const { path = "/v1/jobs", method = "POST", key = fleet.key, type = "application/json", body } = asked;
  const headers: Record<string, string> = key === null ? {} : { authorization: `Bearer ${key}` };
  if (body !== undefined) headers["content-type"] = type;
  const response = await fetch(fleet.url + path, { method, headers, ...(body !== undefined && { body }) });
  const { error } = (await response.json()) as { error: WireError };
  return { status: response.status, error };
}

const job = (more: object): Asked => ({
  body: JSON.stringify({ profile: "shell", command: ["true"], ...more }),
});

describe("a request that cannot be served says so", { skip }, () => {
  const code = { language: "python", code: "1", command: undefined };
  const cases: [string, Asked, [status: number, code: string, field?: string]][] = [
    ["unknown profile", job({ profile: "nope" }), [404, "profile_unknown", "profile"]],
    ["profile whose file is wrong", job({ profile: "mistyped" }), [404, "profile_unknown", "profile"]],
    ["profile without its image", job({ profile: "no-image" }), [503, "profile_unusable", "profile"]],
    ["language of another profile", job({ ...code }), [400, "language_unknown", "language"]],
    ["unknown language", job({ ...code, language: "perl" }), [400, "language_unknown", "language"]],
    ["unknown key", job({ comand: ["true"] }), [400, "request_invalid", "comand"]],
    [
      "unknown inner key",
      job({ retry: { maxAttempts: 2, times: 2 } }),
      [400, "request_invalid", "retry.times"],
    ],
    ["duration that is none", job({ timeout: "soon" }), [400, "request_invalid", "timeout"]],
    ["negative duration", job({ timeout: "-1s" }), [400, "request_invalid", "timeout"]],
    ["more time than the profile has", job({ timeout: "3h" }), [400, "limit_exceeds_profile", "timeout"]],
    [
      "path outside the workspace",
      job({ files: [{ path: "../x", text: "" }] }),
      [400, "request_invalid", "files[0].path"],
    ],
    ["NUL in an argument", job({ command: ["a\u0000b"] }), [400, "request_invalid", "command[0]"]],
    ["no command at all", job({ command: [] }), [400, "request_invalid", "command"]],
    ["host above the ceiling", job({ mcp: [{ host: "docs" }] }), [403, "host_not_allowed", "mcp[0].host"]],
    ["malformed JSON", { body: '{"profile": "shell"' }, [400, "request_invalid"]],
    ["JSON that is no object", { body: "[]" }, [400, "request_invalid"]],
    ["no body", {}, [400, "request_invalid"]],
    [
      "another media type",
      { type: "text/plain", body: "x" },
      [415, "media_type_unsupported", "content-type"],
    ],
    ["body above the limit", { body: Buffer.alloc(97 * 2 ** 20, " ") }, [413, "body_too_large"]],
    ["wrong key", { ...job({}), key: "sp_wrong" }, [401, "unauthenticated"]],
    ["no key", { ...job({}), key: null }, [401, "unauthenticated"]],
    ["unknown job", { path: "/v1/jobs/job_0", method: "GET" }, [404, "job_unknown"]],
    ["unknown path", { path: "/v1/job", method: "GET" }, [404, "path_unknown"]],
    ["unknown query key", { path: "/v1/jobs?sate=queued", method: "GET" }, [400, "request_invalid", "sate"]],
  ];
  for (const [what, asked, [status, errorCode, field]] of cases) {
    test(`${what}: ${status} ${errorCode}`, async () => {
      const answer = await ask(asked);
      assert.deepEqual([answer.status, answer.error.code], [status, errorCode], JSON.stringify(answer));
      assert.ok(Object.hasOwn(errorCodes, answer.error.code));
      assert.ok(answer.error.message.length > 0);
      if (field !== undefined) assert.equal(answer.error.details?.["field"], field);
    });
  }

  test("a worker's token opens no client's call", async () => {
    const key = readFileSync(join(fleet.keyFile, "../worker.token"), "utf8").trim();
    const { status, error } = await ask({ ...job({}), key });
    assert.deepEqual([status, error.code], [403, "scope_missing"]);
  });

  test("a profile without its image names the image, one with a wrong key is left out with its file and key", async () => {
    const { error } = await ask(job({ profile: "no-image" }));
    assert.match(error.message, /sallyport\/there-is-none:ever/);
    const [left] = dev.logged("profile left out");
    assert.match(String(left?.["file"]), /mistyped\.json$/);
    assert.equal(left?.["path"], "limits.wallClok");
    const { client } = fleet;
    const { id } = await client.jobs.submit(script("true"));
    assert.deepEqual(verdictOf(await over(client, id)), ["succeeded", "exited", 1]);
  });

  test("nothing of all that left a container", async () => {
    await eventually(async () => (await fleet.sandboxes(".sallyport")).length === 0);
  });
});

describe("a command line that cannot be served says so", { skip, concurrency: 3 }, () => {
  const cases: [string, string[], [exit: number, code: string]][] = [
    ["unknown profile", ["run", "--json", "--profile", "nope", "--", "true"], [125, "profile_unknown"]],
    ["unusable profile", ["run", "--json", "--profile", "no-image", "--", "true"], [125, "profile_unusable"]],
    ["unknown language", ["run", "--json", "--language", "perl", "-c", "1"], [125, "profile_unknown"]],
    ["duration that is none", ["run", "--json", "--timeout", "soon", "--", "true"], [2, "config_invalid"]],
    ["nothing to run", ["run", "--json"], [2, "config_invalid"]],
    ["unknown flag", ["run", "--json", "--fast", "--", "true"], [2, "config_invalid"]],
    [
      "input that is not there",
      ["run", "--json", "--input", "nope.csv", "--", "true"],
      [2, "config_invalid"],
    ],
    ["unknown job", ["jobs", "show", "--json", "job_0"], [1, "job_unknown"]],
    ["unknown command", ["rum", "--json"], [2, "config_invalid"]],
  ];
  for (const [what, args, [exit, errorCode]] of cases) {
    test(`${what}: exit ${exit}, ${errorCode}`, async () => {
      const { code, stdout, stderr } = await fleet.run(args);
      const { error } = JSON.parse(stderr) as { error: WireError };
      assert.deepEqual([code, error.code, stdout.toString()], [exit, errorCode, ""]);
    });
  }

  test("hub that is not there: exit 125, hub_unreachable, and how to name another", async () => {
    const closed = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => closed.once("listening", resolve));
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    const env = { SALLYPORT_HUB: `http://127.0.0.1:${port}` };
    const { code, stderr } = await fleet.run(["run", "--json", "--", "true"], { env });
    const { error } = JSON.parse(stderr) as { error: WireError };
    assert.deepEqual([code, error.code], [125, "hub_unreachable"]);
    assert.ok(error.details?.["fix"]);
  });

  test("wrong key: exit 125, unauthenticated; a key others can read: refused", async () => {
    const wrong = join(fleet.dir, "wrong.key");
    await writeFile(wrong, `sp_${"x".repeat(43)}\n`, { mode: 0o600 });
    const denied = await fleet.run(["run", "--json", "--key-file", wrong, "--", "true"]);
    assert.equal(denied.code, 125);
    assert.match(denied.stderr, /"code":"unauthenticated"/);
    await chmod(wrong, 0o644);
    const open = await fleet.run(["run", "--json", "--key-file", wrong, "--", "true"]);
    assert.match(open.stderr, /"code":"config_invalid".*chmod 600/);
  });
});

describe("no secret is told", { skip }, () => {
  test("keys, variables, code, arguments, stdin and files of jobs stand in no log line, argument or label", async () => {
    const { client } = fleet;
    const files = [{ path: "data.txt", text: secrets.file }];
    const env = { API_TOKEN: secrets.env };
    const shared = { env, files, stdin: secrets.stdin };
    const long = await client.jobs.submit(script(`: ${secrets.argument}; sleep 3`, shared));
    const python = `import sys\n# ${secrets.code}\nsys.exit(open('data.txt').read() + sys.stdin.read())`;
    const failing = await client.jobs.submit({
      profile: "python",
      language: "python",
      code: python,
      ...shared,
    });
    await started(client, long.id);
    for (const id of await fleet.sandboxes(".sallyport")) {
      assertSilent(JSON.stringify(await rawEngine().getContainer(id).inspect()), "the engine's records");
    }
    const command =
      readFileSync(`/proc/${dev.pid}/cmdline`, "utf8") + readFileSync(`/proc/${dev.pid}/environ`, "utf8");
    assertSilent(command, "arguments and variables of dev");
    assert.deepEqual(verdictOf(await over(client, long.id)), ["succeeded", "exited", 1]);
    assert.deepEqual(verdictOf(await over(client, failing.id)), ["failed", "exited", 1]);
    assert.ok(fleet.output.includes(long.id), "the logs tell of the job");
    assertSilent(fleet.output, "logs");
    assertSilent(await (await fetch(`${fleet.url}/metrics`)).text(), "metrics");
  });
});

function assertSilent(text: string, where: string): void {
  const keys = ["admin.key", "worker.token"].map((name) =>
    readFileSync(join(fleet.keyFile, "..", name), "utf8").trim(),
  );
  for (const secret of [...keys, ...Object.values(secrets)]) {
    const at = text.indexOf(secret);
    assert.equal(at, -1, `${where}: ${text.slice(Math.max(0, at - 200), at + 60)}`);
  }
}

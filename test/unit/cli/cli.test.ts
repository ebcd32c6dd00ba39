import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Keys } from "../../../src/cli/index.ts";
import { jobView, json, result, scriptedHub } from "../client/scripted-hub.ts";
import { cli } from "./harness.ts";

const wrongLines: [string[], RegExp][] = [
  [[], /no command is named/],
  [["rnu"], /unknown command 'rnu'.*run/],
  [["run"], /nothing to run/],
  [["run", "sh"], /must stand behind --/],
  [["run", "--bad"], /unknown option '--bad'/],
  [["run", "-c"], /argument missing/],
  [["run", "-c", "1", "--timeout", "soon"], /--timeout/],
  [["jobs"], /no command is named/],
  [["jobs", "show"], /missing required argument 'id'/],
  [["jobs", "ls", "--limit", "0"], /--limit/],
  [["dev", "--port", "x"], /--port/],
  [["worker"], /--hub/],
  [["worker", "--hub", "hub.example.com", "--token-file", "key"], /--hub: "hub\.example\.com"/],
  [["connector", "--hub", "ftp://h", "--token-file", "key", "--tunnel", "t.yaml"], /--hub: "ftp:\/\/h"/],
  [["keys", "add", "x", "--weight", "0"], /--weight/],
  [["keys", "add", "x", "--weight", "1e-300"], /--weight/],
  [["keys", "add", "x", "--weight", "Infinity"], /--weight/],
  [["keys", "add", "x", "--tenant", ""], /--tenant/],
  [["hub", "--listen", "x"], /--listen/],
];

for (const [argv, expected] of wrongLines) {
  test(`"${argv.join(" ")}" is refused with exit code 2, a reason and a fix`, async () => {
    using command = cli();
    assert.equal(await command.raw(...argv), 2);
    assert.match(command.stderr(), expected);
    assert.match(command.stderr(), /^error: .*\nfix: /);
    assert.equal(command.stdout().length, 0);
  });
}

test("a wrong command line is told as JSON where that was asked for", async () => {
  using command = cli();
  assert.equal(await command.raw("run", "--json"), 2);
  const { error } = JSON.parse(command.stderr()) as { error: { code: string } };
  assert.equal(error.code, "config_invalid");
});

test("every command has a help text with examples", async () => {
  const leaves = [
    ["run"],
    ...["ls", "show", "logs", "cancel"].map((name) => ["jobs", name]),
    ...["ls", "drain"].map((name) => ["workers", name]),
    ["routes", "ls"],
    ...["ls", "show", "check"].map((name) => ["profiles", name]),
    ...["add", "ls", "revoke"].map((name) => ["keys", name]),
    ["doctor"],
    ["audit", "verify"],
    ["dev"],
    ["hub"],
    ["worker"],
  ];
  for (const words of leaves) {
    using command = cli();
    assert.equal(await command.raw(...words, "--help"), 0);
    const help = command.stdout().toString();
    assert.match(help, new RegExp(`Usage: sallyport ${words.join(" ")}`));
    assert.match(help, /Examples:\n {2}/);
    assert.match(help, /--json/);
  }
});

test("--version prints the version alone", async () => {
  using command = cli();
  assert.equal(await command.raw("--version"), 0);
  assert.equal(command.stdout().toString(), "0.0.0\n");
});

const job = jobView({ state: "failed", result: { ...result, state: "failed", exitCode: 3 } });

test("jobs are listed in columns, or as JSON", async () => {
  await using hub = await scriptedHub(json(200, { jobs: [job], next: "c2" }));
  using command = cli();
  const where = ["--hub", hub.url, "--key-file", "key"];
  assert.equal(await command.raw("jobs", "ls", ...where, "--state", "failed"), 0);
  const expected = [
    "ID     STATE   PROFILE  CREATED                   END",
    "job_1  failed  python   2026-01-01T00:00:00.000Z  exit 3",
    "",
  ];
  assert.equal(command.stdout().toString(), expected.join("\n"));
  assert.equal(command.stderr(), "more with --cursor c2\n");
  assert.deepEqual(hub.seen, ["GET /v1/jobs?state=failed&limit=50"]);
  using other = cli();
  assert.equal(await other.raw("jobs", "ls", ...where, "--json"), 0);
  assert.deepEqual(JSON.parse(other.stdout().toString()), { jobs: [job], next: "c2" });
});

test("a job is shown in times that can be read", async () => {
  const timings = { queuedMs: 1, startMs: 4.921510000000126, runMs: 12.96, warm: true };
  await using hub = await scriptedHub(
    json(200, jobView({ state: "succeeded", result: { ...result, timings } })),
  );
  using command = cli();
  assert.equal(await command.raw("jobs", "show", "job_1", "--hub", hub.url, "--key-file", "key"), 0);
  assert.match(command.stdout().toString(), /^timings +queued 1 ms, start 4\.9 ms, run 13 ms$/m);
});

test("a job that is not there keeps no other from being cancelled", async () => {
  const error = { code: "job_unknown", message: 'there is no job "gone"' };
  await using hub = await scriptedHub(json(404, { error }), json(202, job));
  using command = cli();
  assert.equal(
    await command.raw("jobs", "cancel", "gone", "job_1", "--hub", hub.url, "--key-file", "key"),
    1,
  );
  assert.equal(command.stdout().toString(), "job_1 failed\n");
  assert.match(command.stderr(), /^error: there is no job "gone"\n/);
});

test("logs are byte-exact and keep the streams apart", async () => {
  await using hub = await scriptedHub(
    (_req, res) => void res.end(Buffer.from([0, 255])),
    (_req, res) => void res.end("err"),
  );
  using command = cli();
  assert.equal(await command.raw("jobs", "logs", "job_1", "--hub", hub.url, "--key-file", "key"), 0);
  assert.deepEqual(command.stdout(), Buffer.from([0, 255]));
  assert.equal(command.stderr(), "err");
  assert.deepEqual(hub.seen, ["GET /v1/jobs/job_1/stdout", "GET /v1/jobs/job_1/stderr"]);
});

test("a key file open to others is refused before anything is sent", async () => {
  await using hub = await scriptedHub(json(200, {}));
  using command = cli();
  writeFileSync(join(command.cwd, "open"), "sp_x", { mode: 0o644 });
  assert.equal(await command.raw("workers", "ls", "--hub", hub.url, "--key-file", "open"), 1);
  assert.match(command.stderr(), /others can read this key.*\nfix: chmod 600 /);
  assert.deepEqual(hub.seen, []);
});

const probe = (ok: boolean) => async () => ({
  engine: { name: "docker", version: "1", runtimes: ["runc"], facts: { storage: "overlay2" } },
  checks: [{ id: "net", promise: "no network", ok, evidence: "connect: EPERM", fix: "get a newer engine" }],
  warnings: ["no user namespaces"],
});

test("doctor prints every promise with its evidence and fails when one does not hold", async () => {
  using good = cli({ roles: { probe: probe(true) } });
  assert.equal(await good.raw("doctor"), 0);
  assert.match(good.stdout().toString(), /yes +no network +connect: EPERM/);
  assert.match(good.stdout().toString(), /warning: no user namespaces\n\n1 of 1 promises hold/);
  using bad = cli({ roles: { probe: probe(false) } });
  assert.equal(await bad.raw("doctor"), 1);
  assert.match(bad.stdout().toString(), /NO +no network[^]*fix for net: get a newer engine/);
  using machine = cli({ roles: { probe: probe(false) } });
  assert.equal(await machine.raw("doctor", "--json"), 1);
  assert.equal((JSON.parse(machine.stdout().toString()) as { checks: unknown[] }).checks.length, 1);
});

test("profiles check names file, key and reason, and passes the good ones", async () => {
  using command = cli();
  const dir = join(command.cwd, "p");
  mkdirSync(dir);
  writeFileSync(join(dir, "bad.json"), JSON.stringify({ name: "bad", colour: "red" }));
  assert.equal(await command.raw("profiles", "check", dir), 1);
  assert.match(command.stdout().toString(), /wrong {2}.*bad\.json: colour: unknown key/);
  assert.equal(await command.raw("profiles", "check", join(dir, "none.json")), 2);
  const broken = join(dir, "broken.json");
  writeFileSync(broken, "{\n");
  using one = cli();
  assert.equal(await one.raw("profiles", "check", broken), 1);
  assert.match(one.stdout().toString(), /^wrong {2}.*broken\.json:2: is not JSON: .*\n$/);
  using shipped = cli();
  assert.equal(await shipped.raw("profiles", "check"), 0);
  assert.match(shipped.stdout().toString(), /^ok {5}fanout\n/);
});

test("keys are added, listed and revoked in the state folder that is named", async () => {
  const calls: unknown[] = [];
  const row = { name: "ci", tenant: "t", weight: 1, scopes: ["jobs"], createdAt: "now", revokedAt: null };
  const keys: Keys = {
    add: async (key) => {
      calls.push(key);
      return "sp_new";
    },
    list: async () => [row],
    revoke: async (name) => void calls.push(name),
  };
  const open = async (dir: string): Promise<Keys> => {
    calls.push(dir);
    return keys;
  };
  using command = cli({ roles: { keys: open } });
  assert.equal(await command.raw("keys", "add", "ci", "--state", "/s", "--tenant", "t"), 0);
  assert.equal(await command.raw("keys", "revoke", "ci"), 0);
  assert.equal(await command.raw("keys", "ls", "--state", "/s"), 0);
  assert.deepEqual(calls, [
    "/s",
    { name: "ci", tenant: "t", weight: 1, scopes: ["jobs"] },
    join(command.cwd, ".sallyport"),
    "ci",
    "/s",
  ]);
  assert.match(command.stdout().toString(), /^sp_new\nci revoked\nNAME  TENANT/);
});

test("an empty value of an option is refused before anything is done, and an empty program is one", async () => {
  const lines = [
    ["hub", "--state", ""],
    ["certs", "init", "--domain", "t.example.com", "--output", ""],
    ["keys", "ls", "--state="],
    ["run", "-c", "1", "--hub", ""],
    ["run", "-c", "1", "--input", "a", "--input", ""],
  ];
  for (const line of lines) {
    using command = cli();
    assert.equal(await command.raw(...line), 2, line.join(" "));
    assert.match(command.stderr(), /^error: --[a-z]+: is empty\nfix: /);
  }
  using nowhere = cli();
  assert.equal(await nowhere.raw("run", "-c", "", "--hub", "http://127.0.0.1:1", "--key-file", "key"), 125);
});

test("profiles check of a folder without profiles says so", async () => {
  using command = cli();
  assert.equal(await command.raw("profiles", "check", "."), 2);
  assert.match(command.stderr(), /holds no profile/);
});

/** `loadtest` as its own process, against a real hub whose worker's sandboxes are fake. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Report } from "../../src/loadtest/index.ts";
import { eventually } from "../helpers/hub.ts";
import { ended, startCli, type CliRig } from "./cli-rig.ts";

let rig: CliRig;

before(async () => {
  rig = await startCli();
});

after(async () => {
  await rig[Symbol.asyncDispose]();
});

async function measured(args: string[]): Promise<{ code: number | null; report: Report; stderr: string }> {
  const { code, stdout, stderr } = await rig.run(["loadtest", "--profile", "tiny", "--json", ...args]);
  return { code, report: JSON.parse(stdout.toString("utf8").trim()) as Report, stderr };
}

test("closed loop: every job once, every stage in order, and nothing claimed about an engine that has none of them", async () => {
  const { code, report, stderr } = await measured([
    "--concurrency",
    "5",
    "--total",
    "40",
    "--",
    "echo",
    "hi",
  ]);
  assert.equal(code, 0, stderr);
  assert.deepEqual(report.jobs, { finished: 40, succeeded: 40, failed: 0 });
  assert.equal(new Set(report.records.map((job) => job.id)).size, 40);
  assert.equal(report.peak.outstanding, 5);
  for (const job of report.records) {
    const times = [
      job.scheduledAt,
      job.sentAt,
      job.queuedAt,
      job.leasedAt,
      job.startedAt,
      job.firstByteAt,
      job.finishedAt,
    ];
    assert.ok(
      times.every((time) => typeof time === "number"),
      JSON.stringify(times),
    );
    assert.deepEqual(
      times,
      times.toSorted((a, b) => a - b),
    );
  }
  assert.equal(report.latency.total?.n, 40);
  assert.notEqual(report.leaks.unchecked, null);
  assert.equal(report.rates.createsPerS, null);
});

test("open loop: the arrivals are where the schedule says, although the hub has fewer slots than jobs arrive", async () => {
  const { code, report } = await measured(["--rate", "100", "--total", "50", "--", "sleep", "200"]);
  assert.equal(code, 0);
  assert.equal(report.mode, "open loop");
  const due = report.records.map((job) => job.scheduledAt).sort((a, b) => a - b);
  assert.deepEqual(
    due,
    Array.from({ length: 50 }, (_, n) => n * 10),
  );
  // Eight slots take 40 jobs a second: those that arrive last have waited for about half a second.
  assert.ok((report.latency.queue?.max ?? 0) > 300, JSON.stringify(report.latency.queue));
});

test("failed jobs are told by their reason, exit code 1, and the table says so", async () => {
  const args = ["loadtest", "--profile", "tiny", "--total", "3", "--concurrency", "1", "--", "exit", "3"];
  const { code, stdout } = await rig.run(args);
  const text = stdout.toString("utf8");
  assert.equal(code, 1);
  assert.match(text, /^exited 3 +3 /m);
  assert.match(text, /NOT held: 0\/3 jobs succeeded/);
});

test("the page is written, and asks for nothing", async () => {
  const { code } = await rig.run([
    "loadtest",
    "--profile",
    "tiny",
    "--total",
    "20",
    "--html",
    "report.html",
    "--",
    "echo",
    "<script>alert(1)</script>",
  ]);
  assert.equal(code, 0);
  const page = readFileSync(join(rig.dir, "report.html"), "utf8");
  assert.ok(page.includes("&#60;script&#62;"), "the command is escaped");
  assert.ok(!/<script|src=|url\(|https?:\/\/(?!127\.0\.0\.1)/.test(page), "nothing is loaded or run");
});

test("an unknown profile is an error that names it and those there are", async () => {
  const { code, stderr } = await rig.run(["loadtest", "--profile", "nope"]);
  assert.equal(code, 1);
  assert.match(stderr, /--profile: no worker offers "nope"/);
  assert.match(stderr, /tiny/);
});

test("Ctrl-C: outstanding jobs are cancelled, what there is is reported, exit code 130", async () => {
  const args = [
    "loadtest",
    "--profile",
    "tiny",
    "--concurrency",
    "4",
    "--total",
    "100",
    "--json",
    "--",
    "sleep",
    "9000",
  ];
  const child = rig.start(args);
  child.stdin.end();
  const over = ended(child);
  await eventually(async () => {
    const { jobs } = await rig.client.jobs.list({ state: "running", profile: "tiny" });
    return jobs.length === 4;
  });
  child.kill("SIGINT");
  const { code, stdout } = await over;
  assert.equal(code, 130);
  const report = JSON.parse(stdout.toString("utf8").trim()) as Report;
  assert.equal(report.interrupted, true);
  assert.deepEqual(
    report.failures.map(({ reason, count }) => [reason, count]),
    [["cancelled", 4]],
  );
  assert.deepEqual((await rig.client.jobs.list({ state: "running" })).jobs, []);
});

test("a hub that goes away under the load is a failure by its code, not a hang", async () => {
  await using own = await startCli();
  const child = own.start([
    "loadtest",
    "--profile",
    "tiny",
    "--concurrency",
    "2",
    "--total",
    "6",
    "--json",
    "--",
    "sleep",
    "3000",
  ]);
  child.stdin.end();
  const over = ended(child);
  await eventually(async () => (await own.client.jobs.list({ state: "running" })).jobs.length === 2);
  await own.hub.stop();
  const { code, stdout, stderr } = await over;
  assert.equal(code, 1, stderr);
  const report = JSON.parse(stdout.toString("utf8").trim()) as Report;
  assert.deepEqual(
    report.failures.map(({ reason, count }) => [reason, count]),
    [["hub_unreachable", 6]],
  );
  if (child.exitCode === null) await once(child, "exit");
});

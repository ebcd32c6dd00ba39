/** What goes into a job and what comes out of it: files, stdin and artifacts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { anyBytes, run, startRig } from "../helpers/simulated-hub.ts";

test("files and stdin text come out of the inputs stream", async () => {
  await using rig = await startRig();
  const a = anyBytes(1_500_000);
  const inputs = Buffer.concat([a, Buffer.from("small")]);
  const files = [
    { path: "data/a.bin", size: a.length },
    { path: "empty", size: 0 },
    { path: "b", size: 5 },
  ];
  const read = rig.hub.offer({ spec: { ...run("read", "data/a.bin"), files }, inputs });
  assert.equal((await read.finished).reason, "exited");
  assert.ok(read.printed("stdout").equals(a));
  const cat = rig.hub.offer({
    spec: { ...run("cat"), files: [{ path: "x", size: 5 }], stdin: { mode: "text", size: a.length } },
    inputs: Buffer.concat([Buffer.from("small"), a]),
  });
  assert.equal((await cat.finished).exitCode, 0);
  assert.ok(cat.printed("stdout").equals(a));
});

test("inputs that broke off with the channel are taken up over the next one", async () => {
  await using rig = await startRig({ hooks: { sendsInputs: false } });
  const text = anyBytes(700_000);
  const job = rig.hub.offer({
    spec: { ...run("cat"), stdin: { mode: "text", size: text.length } },
    inputs: text,
  });
  await rig.hub.until(() => job.answers.length === 1, "accept");
  const half = rig.hub.end.channel.open({ kind: "inputs", ...job.ref });
  half.finished.catch(() => undefined);
  await half.write(text.subarray(0, 300_000));
  await rig.hub.until(() => half.granted > 0, "some of it to be used");
  rig.hub.end.link.cut();
  await rig.hub.until(() => rig.hub.ends.length === 2, "reconnect");
  rig.hub.sendInputs(rig.hub.end.channel, job);
  assert.equal((await job.finished).reason, "exited");
  assert.ok(job.printed("stdout").equals(text));
});

test("inputs that never come: never_started, and the slot is free again", async () => {
  await using rig = await startRig({
    hooks: { sendsInputs: false },
    times: { inputsMs: 30 },
    worker: { slots: 1 },
  });
  const spec = { ...run("true"), files: [{ path: "a", size: 3 }] };
  const outcome = await rig.hub.offer({ spec, inputs: Buffer.from("abc") }).finished;
  assert.deepEqual([outcome.reason, outcome.error?.code], ["never_started", "deadline_exceeded"]);
  assert.equal((await rig.hub.offer({ spec: run("true") }).finished).reason, "exited");
});

test("streamed stdin reaches the program as it comes", async () => {
  await using rig = await startRig();
  const job = rig.hub.offer({ spec: { ...run("cat"), stdin: { mode: "stream" } } });
  await rig.hub.until(() => job.started.length === 1, "start");
  const stdin = rig.hub.end.channel.open({ kind: "stdin", ...job.ref });
  await stdin.write(Buffer.from("one "));
  await rig.hub.until(() => job.printed("stdout").toString() === "one ", "the first part");
  await stdin.write(Buffer.from("two"));
  stdin.end();
  assert.equal((await job.finished).reason, "exited");
  assert.equal(job.printed("stdout").toString(), "one two");
});

test("a stream for a lease that is not held is reset", async () => {
  await using rig = await startRig();
  const stream = rig.hub.end.channel.open({ kind: "stdin", lease: "nobody", attempt: 1, epoch: 1 });
  await assert.rejects(stream.finished, { code: "stream_reset" });
});

test("a job's own file may not take the place of its code", async () => {
  await using rig = await startRig();
  const spec = { run: { language: "python", code: "print(1)" }, files: [{ path: "main.py", size: 0 }] };
  const outcome = await rig.hub.offer({ spec }).finished;
  assert.deepEqual([outcome.reason, outcome.error?.code], ["never_started", "request_invalid"]);
});

test("artifacts: a file is sent, what is missing, a folder or too large is told by name", async () => {
  await using rig = await startRig();
  const inputs = Buffer.concat([Buffer.alloc(4_000, 1), Buffer.from("keep")]);
  const files = [
    { path: "large", size: 4_000 },
    { path: "dir/keep", size: 4 },
  ];
  const spec = {
    ...run("true"),
    files,
    artifacts: ["dir/keep", "missing", "large", "dir"],
    artifactBytes: 1_000,
  };
  const job = rig.hub.offer({ spec, inputs });
  const { artifacts } = await job.finished;
  assert.deepEqual(artifacts[0], { path: "dir/keep", size: 4 });
  assert.equal(job.artifacts.get("dir/keep")?.toString(), "keep");
  assert.deepEqual(
    artifacts.slice(1).map(({ path, error }) => [path, error?.code]),
    [
      ["missing", "file_unknown"],
      ["large", "limit_exceeds_profile"],
      ["dir", "file_refused"],
    ],
  );
  assert.equal(artifacts[3]?.error?.message, "artifact dir: it is a folder, only files are taken");
});

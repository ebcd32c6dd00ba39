import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { sleep } from "../../src/async/index.ts";
import {
  encodeFrame,
  FrameDecoder,
  guestFrames,
  hostFrames,
  type Frame,
} from "../../src/sandbox/guest/index.ts";
import { isAlive, launchGuest } from "../helpers/guest-process.ts";

type Launched = ReturnType<typeof launchGuest>;

/** Speaks raw bytes to a real guest and keeps the frames it answers with. */
function listen(process: Launched): { frames: Frame[]; until: (type: number) => Promise<Frame> } {
  const frames: Frame[] = [];
  const decoder = new FrameDecoder((frame) => frames.push(frame));
  process.link.stream.on("data", (chunk: Buffer) => decoder.push(chunk));
  process.link.stream.on("error", () => undefined);
  const until = async (type: number): Promise<Frame> => {
    for (let tries = 0; tries < 1000; tries++) {
      const found = frames.find((frame) => frame.type === type);
      if (found !== undefined) return found;
      await sleep(5);
    }
    throw new Error(`no frame of type ${type}`);
  };
  return { frames, until };
}

function execPayload(argv: string[], more: { flags?: number; credit?: number; cwd?: string } = {}): Buffer {
  const head = Buffer.alloc(13);
  head.writeUInt8(more.flags ?? 0, 0);
  head.writeUInt32BE(more.credit ?? 1 << 20, 5);
  head.writeUInt16BE(argv.length, 9);
  return Buffer.concat([head, Buffer.from([more.cwd ?? "/", ...argv].map((text) => `${text}\0`).join(""))]);
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

const exec = (id: number, argv: string[], more = {}): Buffer =>
  encodeFrame(hostFrames.exec, id, execPayload(argv, more));
const path = Buffer.from("f\0");

const breaches: Record<string, Buffer[]> = {
  "an unknown type": [encodeFrame(0x7f, 1)],
  "type zero": [encodeFrame(0, 1)],
  "a length above the bound": [Buffer.from("02000000010001000100", "hex")],
  "a length of 4 GiB": [Buffer.from("0100000001ffffffff", "hex")],
  "a payload where there is none": [encodeFrame(hostFrames.killAll, 0, Buffer.of(1))],
  "a call under id 0": [encodeFrame(hostFrames.stat, 0, path)],
  "kill-all under an id": [encodeFrame(hostFrames.killAll, 1)],
  "an id used twice": [encodeFrame(hostFrames.stat, 1, path), encodeFrame(hostFrames.stat, 1, path)],
  "an id that was never used": [encodeFrame(hostFrames.data, 1, Buffer.of(1))],
  "a path without its NUL": [encodeFrame(hostFrames.stat, 1, Buffer.from("f"))],
  "a path with a NUL inside": [encodeFrame(hostFrames.stat, 1, Buffer.from("a\0b\0"))],
  "an exec whose texts are cut off": [encodeFrame(hostFrames.exec, 1, execPayload(["true"]).subarray(0, -2))],
  "an exec with bytes left over": [
    encodeFrame(hostFrames.exec, 1, Buffer.concat([execPayload(["true"]), Buffer.of(0)])),
  ],
  "an exec without a command": [
    encodeFrame(hostFrames.exec, 1, Buffer.concat([execPayload([]), Buffer.of(0)])),
  ],
  "an exec with unknown flags": [exec(1, ["true"], { flags: 4 })],
  "stdin for an exec without one": [exec(1, ["sleep", "5"]), encodeFrame(hostFrames.data, 1, Buffer.of(1))],
  "bytes after the end of stdin": [
    exec(1, ["sleep", "5"], { flags: 1 }),
    encodeFrame(hostFrames.end, 1),
    encodeFrame(hostFrames.data, 1, Buffer.of(1)),
  ],
  "more stdin than there is credit for": [
    exec(1, ["sleep", "5"], { flags: 1 }),
    ...Array.from({ length: 7 }, () => encodeFrame(hostFrames.data, 1, Buffer.alloc(65_536))),
  ],
  "a signal that may not be sent": [
    exec(1, ["sleep", "5"]),
    encodeFrame(hostFrames.signal, 1, Buffer.of(19)),
  ],
  "a resize without a terminal": [exec(1, ["sleep", "5"]), encodeFrame(hostFrames.resize, 1, u32(0))],
  "credit beyond its bound": [
    exec(1, ["sleep", "5"]),
    encodeFrame(hostFrames.credit, 1, u32(0x3fffffff)),
    encodeFrame(hostFrames.credit, 1, u32(0x3fffffff)),
  ],
  "a call under one of the guest's own ids": [encodeFrame(hostFrames.stat, 0x8000_0000, path)],
  "data for a stream that was never accepted": [encodeFrame(hostFrames.data, 0x8000_0000, Buffer.of(1))],
  "a listen with half a port": [encodeFrame(hostFrames.listen, 1, Buffer.alloc(7))],
  "a listen at more ports than there may be": [encodeFrame(hostFrames.listen, 1, Buffer.alloc(4 + 34))],
  "a listen with credit beyond its bound": [
    encodeFrame(hostFrames.listen, 1, Buffer.from("40000001ffff", "hex")),
  ],
  "a connect to two ports": [encodeFrame(hostFrames.connect, 1, Buffer.alloc(8))],
  "a put asked for credit": [
    encodeFrame(hostFrames.put, 1, Buffer.concat([u32(0o644), path])),
    encodeFrame(hostFrames.credit, 1, u32(1)),
  ],
};

for (const [name, frames] of Object.entries(breaches)) {
  test(`the guest ends itself and its programs with code 70 on ${name}`, { timeout: 20_000 }, async () => {
    await using process = launchGuest();
    listen(process);
    process.link.stream.write(Buffer.concat(frames));
    assert.equal(await process.exited, 70);
    assert.match(process.link.diagnostics(), /^guest: .+\n$/);
    assert.ok(!existsSync(join(process.workspace, "f")));
  });
}

test("frames about a call that is over mean nothing", async () => {
  await using process = launchGuest();
  const { until, frames } = listen(process);
  process.link.stream.write(encodeFrame(hostFrames.mkdir, 1, path));
  await until(guestFrames.done);
  for (const type of [hostFrames.end, hostFrames.killTree, hostFrames.cancel]) {
    process.link.stream.write(encodeFrame(type, 1));
  }
  process.link.stream.write(encodeFrame(hostFrames.data, 1, Buffer.of(1)));
  process.link.stream.write(encodeFrame(hostFrames.credit, 1, u32(1)));
  process.link.stream.write(encodeFrame(hostFrames.stat, 2, path));
  for (let tries = 0; tries < 1000 && frames.length < 3; tries++) await sleep(5);
  assert.deepEqual(
    frames.map(({ type, id }) => [type, id]),
    [
      [guestFrames.hello, 0],
      [guestFrames.done, 1],
      [guestFrames.done, 2],
    ],
  );
});

test("frames arrive whole however the bytes are cut", async () => {
  await using process = launchGuest();
  const { until } = listen(process);
  const bytes = Buffer.concat([
    exec(1, ["cat"], { flags: 1 }),
    encodeFrame(hostFrames.data, 1, Buffer.from("abc")),
  ]);
  for (const byte of bytes) {
    process.link.stream.write(Buffer.of(byte));
    await new Promise(setImmediate);
  }
  assert.equal((await until(guestFrames.stdout)).payload.toString(), "abc");
});

test("nothing is read from a program without credit, and control goes on", async () => {
  await using process = launchGuest();
  const { frames, until } = listen(process);
  process.link.stream.write(exec(1, ["yes"], { credit: 0 }));
  await until(guestFrames.started);
  process.link.stream.write(encodeFrame(hostFrames.mkdir, 2, path));
  await until(guestFrames.done);
  assert.ok(!frames.some(({ type }) => type === guestFrames.stdout));
  process.link.stream.write(encodeFrame(hostFrames.credit, 1, u32(10_000)));
  await until(guestFrames.stdout);
  process.link.stream.write(encodeFrame(hostFrames.stat, 3, path));
  for (let tries = 0; tries < 1000 && !frames.some(({ id }) => id === 3); tries++) await sleep(5);
  const printed = frames.filter(({ type }) => type === guestFrames.stdout);
  const cost = printed.reduce((sum, { payload }) => sum + payload.length + 256, 0);
  assert.ok(cost <= 10_000 && cost > 5_000);
});

test("the end of stdin ends everything while stdout is blocked", async () => {
  await using process = launchGuest();
  const { child, workspace } = process;
  const pidFile = join(workspace, "pid");
  const flood = ["sh", "-c", "echo $$ > pid.tmp && mv pid.tmp pid; exec yes"];
  process.link.stream.write(exec(1, flood, { credit: 1 << 30, cwd: workspace }));
  for (let tries = 0; tries < 1000 && !existsSync(pidFile); tries++) await sleep(5);
  const pid = Number(readFileSync(pidFile, "utf8"));
  await sleep(200);
  assert.ok(isAlive(pid));
  child.stdin?.end();
  await once(child, "exit");
  for (let tries = 0; tries < 1000 && isAlive(pid); tries++) await sleep(5);
  assert.ok(!isAlive(pid));
});

test("a host that asks and never listens is stopped, and its end is still noticed", async () => {
  await using process = launchGuest();
  const { child } = process;
  // Far more answers than fit the pipe and the guest's queue: it stops reading rather than growing.
  const asks = Array.from({ length: 200_000 }, (_, i) => encodeFrame(hostFrames.stat, i + 1, path));
  process.link.stream.on("error", () => undefined);
  child.stdin?.on("error", () => undefined);
  child.stdin?.write(Buffer.concat(asks));
  await sleep(300);
  const status = readFileSync(`/proc/${process.pid}/status`, "utf8");
  assert.ok(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) < 2_000);
  child.stdin?.destroy();
  await once(child, "exit");
  assert.equal(child.exitCode, 0);
});

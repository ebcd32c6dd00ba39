import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { sleep } from "../../src/async/index.ts";
import type { GuestSocket } from "../../src/sandbox/contract.ts";
import { createFakeDriver, parseProfile } from "../../src/sandbox/index.ts";
import { startGuest, type GuestProcess } from "../helpers/guest-process.ts";
import { sampleProfile } from "../unit/sandbox/profile/sample.ts";
import { guestNetSuite, type NetRig } from "./guest-net.suite.ts";
import { freePort } from "../helpers/free-port.ts";
import { eventually } from "../helpers/hub.ts";

async function dial(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  await once(socket, "connect");
  return socket;
}

interface LocalRig extends NetRig {
  readonly process: GuestProcess;
}

/** The guest runs beside this test, so its loopback is ours and this process plays the programs. */
async function startLocal(): Promise<LocalRig> {
  const process = await startGuest();
  const sockets = new Set<Socket>();
  return {
    process,
    guest: process.guest,
    freePort,
    dial: async (port) => {
      const socket = await dial(port);
      sockets.add(socket);
      return socket;
    },
    serve: async (port, onConnection) => {
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        sockets.add(socket);
        socket.on("error", () => undefined);
        onConnection(socket);
      });
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
      return {
        [Symbol.asyncDispose]: async () => {
          server.close();
        },
      };
    },
    reset: (socket) => void (socket as Socket).resetAndDestroy(),
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.on("error", () => undefined).destroy();
      await process[Symbol.asyncDispose]();
    },
  };
}

async function startFake(): Promise<NetRig> {
  const driver = createFakeDriver();
  const profile = parseProfile(sampleProfile(), "sample");
  const { id, guest } = await driver.create({ profile, lease: "lease", hosts: [] });
  const sandbox = driver.engine.sandboxes.get(id);
  assert.ok(sandbox !== undefined);
  let port = 10_000;
  return {
    guest,
    freePort: async () => port++,
    dial: async (to) => sandbox.dial(to),
    serve: async (at, onConnection) => {
      const served = sandbox.serve(at, onConnection);
      return { [Symbol.asyncDispose]: async () => served[Symbol.dispose]() };
    },
    reset: (socket: Duplex) => void socket.destroy(new Error("reset")),
    [Symbol.asyncDispose]: () => driver[Symbol.asyncDispose](),
  };
}

guestNetSuite("guest", startLocal);
guestNetSuite("fake", startFake);

/** What is in memory, or what is asked for whether touched or not, by /proc/PID/status */
function memoryKiB(pid: number, what: "VmRSS" | "VmSize"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${what}:\\s+(\\d+)`, "m").exec(status)?.[1]);
}

test("300 connections at once: 256 are open, the others wait and are served as places come free", async () => {
  await using rig = await startLocal();
  const port = await freePort();
  const open: GuestSocket[] = [];
  const idle = memoryKiB(rig.process.pid, "VmRSS");
  await rig.guest.listen([port], (socket) => open.push(socket));
  const programs = await Promise.all(Array.from({ length: 300 }, () => rig.dial(port)));
  const answers = programs.map((program) => text(program));
  for (let tries = 0; tries < 500 && open.length < 256; tries++) await sleep(5);
  await sleep(50);
  assert.equal(open.length, 256);
  assert.ok(memoryKiB(rig.process.pid, "VmRSS") < idle + 500);
  for (const program of programs) program.end();
  for (let served = 0; served < 300; served++) {
    for (let tries = 0; tries < 500 && open.length <= served; tries++) await sleep(5);
    open[served]?.resume().end(`answer ${served}`);
  }
  const got = await Promise.all(answers);
  assert.equal(new Set(got).size, 300);
});

test("programs that connect and reset for ever starve neither an exec nor another connection", async () => {
  await using rig = await startLocal();
  const [port, quiet] = [await freePort(), await freePort()];
  await rig.guest.listen([port], () => undefined);
  await rig.guest.listen([quiet], (socket) => socket.pipe(socket));
  const flood = [
    "import socket,struct,sys",
    "while True:",
    " s=socket.create_connection(('127.0.0.1',int(sys.argv[1])))",
    " s.setsockopt(socket.SOL_SOCKET,socket.SO_LINGER,struct.pack('ii',1,0))",
    " s.close()",
  ].join("\n");
  const argv = ["python3", "-c", flood, String(port)];
  const flooding = await rig.guest.exec({ argv, env: {}, cwd: "/", stdin: "none" });
  for (let i = 0; i < 20; i++) {
    const exec = await rig.guest.exec({ argv: ["true"], env: {}, cwd: "/", stdin: "none" });
    assert.equal((await exec.exit).exitCode, 0);
    const program = await rig.dial(quiet);
    program.end("through");
    assert.equal(await text(program), "through");
  }
  flooding.killTree();
  assert.equal((await flooding.exit).signal, "SIGKILL");
});

test("streams that are never read stop neither an exec nor file calls", async () => {
  await using rig = await startLocal();
  const port = await freePort();
  await rig.guest.listen([port], () => undefined);
  for (let i = 0; i < 50; i++) {
    const program = await rig.dial(port);
    program.write(Buffer.alloc(1024 * 1024));
  }
  await rig.guest.files.put("f", Buffer.alloc(1_000_000));
  const exec = await rig.guest.exec({
    argv: ["cat", "f"],
    env: {},
    cwd: rig.process.workspace,
    stdin: "none",
  });
  let bytes = 0;
  for await (const chunk of exec.output) bytes += chunk.bytes.length;
  assert.equal(bytes, 1_000_000);
});

test("a program's end that comes after more than the window is told after every byte", async () => {
  await using rig = await startLocal();
  const port = await freePort();
  const arrived = Promise.withResolvers<GuestSocket>();
  await rig.guest.listen([port], arrived.resolve);
  const program = await rig.dial(port);
  program.end(Buffer.alloc(3_000_000, 97));
  const host = await arrived.promise;
  await sleep(100);
  let bytes = 0;
  for await (const chunk of host) bytes += (chunk as Buffer).length;
  assert.equal(bytes, 3_000_000);
});

test("a program holds no descriptor of the guest's, and only loopback is listened at", async () => {
  await using rig = await startLocal();
  const port = await freePort();
  await rig.guest.listen([port], () => undefined);
  await rig.dial(port);
  const argv = ["sh", "-c", "ls /proc/self/fd | wc -l"];
  const exec = await rig.guest.exec({ argv, env: {}, cwd: "/", stdin: "none" });
  const chunks: Uint8Array[] = [];
  for await (const { bytes } of exec.output) chunks.push(bytes);
  // 0, 1, 2 and the folder that ls reads
  assert.equal(Number(Buffer.concat(chunks)), 4);
  const line = readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .find((entry) => entry.includes(`:${port.toString(16).toUpperCase().padStart(4, "0")} 00000000:0000 0A`));
  assert.match(line ?? "", / 0100007F:/);
});

test("what a reset leaves costs no place", { timeout: 30_000 }, async () => {
  await using rig = await startLocal();
  const port = await freePort();
  await rig.guest.listen([port], (socket) => socket.write(Buffer.alloc(600_000)));
  for (let round = 0; round < 600; round++) {
    const program = await rig.dial(port);
    rig.reset(program);
  }
  const program = await rig.dial(port);
  assert.ok(String((await once(program, "data"))[0]).length > 0);
});

test("what waits in the guest for a program goes with its reset", { timeout: 60_000 }, async () => {
  await using rig = await startLocal();
  const port = await freePort();
  const mapped = (): number => memoryKiB(rig.process.pid, "VmSize");
  const idle = mapped();
  // more than the kernel takes for a program that does not read
  await rig.guest.listen([port], (socket) => socket.write(Buffer.alloc(8_000_000)));
  for (let round = 0; round < 5; round++) {
    const programs = await Promise.all(Array.from({ length: 8 }, () => rig.dial(port)));
    await eventually(() => mapped() >= idle + 8 * 128);
    for (const program of programs) rig.reset(program);
    await eventually(() => mapped() === idle);
  }
});

test("200 connections of every kind at once disturb each other in nothing", { timeout: 60_000 }, async () => {
  await using rig = await startLocal();
  const port = await freePort();
  await rig.guest.listen([port], (socket) => socket.pipe(socket));
  const one = async (number: number): Promise<void> => {
    const program = await rig.dial(port);
    program.on("error", () => undefined);
    const sent = randomBytes((number * 7919) % 400_000);
    const kind = number % 4;
    if (kind === 0) {
      program.write(sent);
      await sleep(number % 20);
      rig.reset(program);
      return;
    }
    // some speak at once and listen later, some end before they listen
    if (kind === 1) program.pause();
    program.end(sent);
    await sleep(number % 30);
    const got: Buffer[] = [];
    for await (const chunk of program) got.push(chunk as Buffer);
    assert.ok(Buffer.concat(got).equals(sent));
  };
  await Promise.all(Array.from({ length: 200 }, (_, number) => one(number)));
  const exec = await rig.guest.exec({ argv: ["true"], env: {}, cwd: "/", stdin: "none" });
  assert.equal((await exec.exit).exitCode, 0);
});

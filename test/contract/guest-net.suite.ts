import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { Duplex } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { test } from "node:test";
import { sleep } from "../../src/async/index.ts";
import { isError } from "../../src/errors.ts";
import type { Guest, GuestSocket } from "../../src/sandbox/contract.ts";

/** A guest, and a way to play the programs beside it. */
export interface NetRig extends AsyncDisposable {
  readonly guest: Guest;
  /** A port nobody listens at */
  freePort(): Promise<number>;
  /** A program connects to the sandbox's loopback */
  dial(port: number): Promise<Duplex>;
  /** A program listens on the sandbox's loopback */
  serve(port: number, onConnection: (socket: Duplex) => void): Promise<AsyncDisposable>;
  /** A program ends its connection with a reset */
  reset(socket: Duplex): void;
}

/** What stands between two ends that do not read, at most: both windows and every buffer on the way, the kernel's too */
const standing = 24 * 1024 * 1024;
const block = randomBytes(64 * 1024);
/** A hang is a failure, not a wait */
const bounded = { timeout: 30_000 };

/** Connects once and gives both ends: the program's and the host's. */
async function connected(rig: NetRig): Promise<{ program: Duplex; host: GuestSocket; port: number }> {
  const port = await rig.freePort();
  const arrived = Promise.withResolvers<GuestSocket>();
  await rig.guest.listen([port], arrived.resolve);
  const program = await rig.dial(port);
  program.on("error", () => undefined);
  return { program, host: await arrived.promise, port };
}

/** Writes until nothing more is taken for a while, and says how many bytes were. */
async function writeUntilStopped(socket: Duplex): Promise<number> {
  let taken = 0;
  let last = -1;
  const feed = (): void => {
    while (!socket.destroyed && taken < 4 * standing) {
      taken += block.length;
      if (!socket.write(block)) break;
    }
  };
  socket.on("drain", feed);
  feed();
  while (taken !== last) {
    last = taken;
    await sleep(150);
  }
  socket.off("drain", feed);
  return taken;
}

async function sendHashed(socket: Duplex, bytes: number): Promise<string> {
  const hash = createHash("sha256");
  for (let sent = 0; sent < bytes; sent += block.length) {
    const copy = Buffer.from(block);
    copy.writeUInt32BE(sent, 0);
    hash.update(copy);
    if (!socket.write(copy)) await once(socket, "drain");
  }
  socket.end();
  return hash.digest("hex");
}

async function hashAll(socket: Duplex): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of socket) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** The same promises of every guest's network, whatever is behind it. */
export function guestNetSuite(name: string, start: () => Promise<NetRig>): void {
  halfCloseTests(name, start);
  resetTests(name, start);
  flowTests(name, start);
  portTests(name, start);
}

function halfCloseTests(name: string, start: () => Promise<NetRig>): void {
  test(`${name}: a program's connection is a stream both ways`, bounded, async () => {
    await using rig = await start();
    const { program, host, port } = await connected(rig);
    assert.equal(host.port, port);
    program.write("question");
    assert.equal(String(await once(host, "data")), "question");
    host.write("answer");
    assert.equal(String(await once(program, "data")), "answer");
  });

  test(`${name}: a program that ended its side still reads all of the answer`, bounded, async () => {
    await using rig = await start();
    const { program, host } = await connected(rig);
    program.end("question");
    assert.equal(await text(host), "question");
    const answer = text(program);
    for (let i = 0; i < 3; i++) {
      host.write(`part ${i};`);
      await sleep(5);
    }
    host.end("last");
    assert.equal(await answer, "part 0;part 1;part 2;last");
  });

  test(`${name}: a host that ended its side still reads all the program says`, bounded, async () => {
    await using rig = await start();
    const { program, host } = await connected(rig);
    host.end("question");
    assert.equal(await text(program), "question");
    const answer = text(host);
    program.write("first;");
    await sleep(5);
    program.end("last");
    assert.equal(await answer, "first;last");
  });

  test(`${name}: what was written before end and destroy still arrives`, bounded, async () => {
    await using rig = await start();
    const { program, host } = await connected(rig);
    const sent = Buffer.concat(Array.from({ length: 20 }, () => block));
    host.end(sent);
    host.once("finish", () => host.destroy());
    await sleep(50);
    assert.ok((await buffer(program)).equals(sent));
  });
}

function resetTests(name: string, start: () => Promise<NetRig>): void {
  test(`${name}: destroy is a reset for the program`, bounded, async () => {
    await using rig = await start();
    const { program, host } = await connected(rig);
    program.resume();
    const failed = once(program, "error");
    host.destroy();
    const [error] = (await failed) as [Error & { code: string }];
    assert.match(error.code, /ECONNRESET|stream_reset/);
  });

  test(`${name}: a program's reset destroys the host's socket with stream_reset`, bounded, async () => {
    await using rig = await start();
    const { program, host } = await connected(rig);
    const failed = once(host, "error");
    rig.reset(program);
    const [error] = await failed;
    assert.ok(isError(error, "stream_reset"));
  });

  test(`${name}: a reset that nobody listens for harms nothing`, bounded, async () => {
    await using rig = await start();
    const { program, host, port } = await connected(rig);
    const closed = new Promise((resolve) => host.once("close", resolve));
    rig.reset(program);
    await closed;
    const again = await rig.dial(port);
    again.on("error", () => undefined);
  });

  test(`${name}: the end of the conversation destroys every socket with one error`, bounded, async () => {
    await using rig = await start();
    const { host } = await connected(rig);
    const port = await rig.freePort();
    await using _served = await rig.serve(port, () => undefined);
    const other = await rig.guest.connect(port);
    const failed = [once(host, "error"), once(other, "error")];
    rig.guest.close();
    for (const [error] of await Promise.all(failed)) assert.ok(isError(error, "sandbox_lost"));
    await assert.rejects(
      rig.guest.listen([port], () => undefined),
      (e) => isError(e, "sandbox_lost"),
    );
    await assert.rejects(rig.guest.connect(port), (e) => isError(e, "sandbox_lost"));
  });
}

function flowTests(name: string, start: () => Promise<NetRig>): void {
  test(`${name}: a host that does not read stops the program`, bounded, async () => {
    await using rig = await start();
    const { program, host } = await connected(rig);
    assert.ok((await writeUntilStopped(program)) < standing);
    assert.ok(host.readableLength <= 128 * 1024);
  });

  test(`${name}: a program that does not read stops the host`, bounded, async () => {
    await using rig = await start();
    const { program, host } = await connected(rig);
    program.pause();
    assert.ok((await writeUntilStopped(host)) < standing);
    // and one that is stopped does not stop another
    const port = await rig.freePort();
    await rig.guest.listen([port], (socket) => socket.pipe(socket));
    const other = await rig.dial(port);
    other.end("through");
    assert.equal(await text(other), "through");
  });

  test(`${name}: 64 MiB each way at once agree in their digests`, bounded, async () => {
    await using rig = await start();
    const { program, host } = await connected(rig);
    const bytes = 64 * 1024 * 1024;
    const [up, down, hostGot, programGot] = await Promise.all([
      sendHashed(program, bytes),
      sendHashed(host, bytes),
      hashAll(host),
      hashAll(program),
    ]);
    assert.equal(hostGot, up);
    assert.equal(programGot, down);
  });

  test(`${name}: 1 000 short connections in a row`, bounded, async () => {
    await using rig = await start();
    const port = await rig.freePort();
    await rig.guest.listen([port], (socket) => socket.pipe(socket));
    for (let i = 0; i < 1_000; i++) {
      const program = await rig.dial(port);
      program.end(`call ${i}`);
      assert.equal(await text(program), `call ${i}`);
    }
  });
}

function portTests(name: string, start: () => Promise<NetRig>): void {
  test(`${name}: each connection comes with the port it was made to`, bounded, async () => {
    await using rig = await start();
    const ports = [await rig.freePort(), await rig.freePort()];
    await rig.guest.listen(ports, (socket) => socket.end(String(socket.port)));
    for (const port of ports) assert.equal(await text(await rig.dial(port)), String(port));
  });

  test(`${name}: a port that a program holds is named, and no other is listened at`, bounded, async () => {
    await using rig = await start();
    const [free, held] = [await rig.freePort(), await rig.freePort()];
    await using _served = await rig.serve(held, () => undefined);
    await assert.rejects(
      rig.guest.listen([free, held], () => undefined),
      (error) => isError(error, "capacity_exhausted") && error.details["port"] === held,
    );
    await assert.rejects(rig.dial(free));
    await rig.guest.listen([free], (socket) => socket.end("now"));
    assert.equal(await text(await rig.dial(free)), "now");
  });

  test(`${name}: the host connects to what a program serves`, bounded, async () => {
    await using rig = await start();
    const port = await rig.freePort();
    await assert.rejects(rig.guest.connect(port), (error) => isError(error, "upstream_unreachable"));
    await using _served = await rig.serve(port, (socket) => socket.pipe(socket));
    const socket = await rig.guest.connect(port);
    assert.equal(socket.port, port);
    socket.end("echo");
    assert.equal(await text(socket), "echo");
  });

  test(`${name}: what is no port is refused and harms nothing`, bounded, async () => {
    await using rig = await start();
    for (const port of [0, -1, 65_536, 1.5, Number.NaN]) {
      await assert.rejects(rig.guest.listen([port], () => undefined));
      await assert.rejects(rig.guest.connect(port));
    }
    const port = await rig.freePort();
    await rig.guest.listen([port], (socket) => socket.end("fine"));
    assert.equal(await text(await rig.dial(port)), "fine");
  });
}

/** The guest's loopback in a real container: it is not root, and there is no other network. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { silentLog } from "../../src/log.ts";
import { createDockerDriver, type Driver, type Sandbox } from "../../src/sandbox/index.ts";
import * as docker from "../helpers/docker.ts";

const skip = await docker.requireEngine();
const ports = [443, 80, 3128];
let driver: Driver;

async function printed(sandbox: Sandbox, script: string): Promise<string> {
  const argv = ["python3", "-c", script];
  const exec = await sandbox.guest.exec({ argv, env: {}, cwd: "/workspace", stdin: "none" });
  const chunks: Uint8Array[] = [];
  for await (const { bytes } of exec.output) chunks.push(bytes.slice());
  return Buffer.concat(chunks).toString();
}

before(async () => {
  if (skip !== false) return;
  await docker.buildPrograms();
  const settings = { worker: docker.workerId("net"), boot: "boot", guestPath: docker.guestPath };
  driver = createDockerDriver({ log: silentLog() }, { ...settings, ...docker.engineAt() });
});

after(async () => {
  await driver?.[Symbol.asyncDispose]();
});

test(
  "programs reach the host at 443, 80 and 3128 of loopback, and the host reaches theirs",
  { skip },
  async () => {
    const profile = docker.smallProfile("sallyport/python");
    await driver.prepare(profile);
    await using sandbox = await driver.create({ profile, lease: "lease", hosts: ["docs"] });
    await sandbox.guest.listen(ports, (socket) => {
      socket.on("data", (bytes: Buffer) => socket.write(`${socket.port} heard ${String(bytes)}\n`));
      socket.on("end", () => socket.end());
    });
    const ask = [
      "import socket",
      "for port, host in ((443, 'docs'), (80, 'localhost'), (3128, '127.0.0.1')):",
      "  s = socket.create_connection((host, port))",
      "  s.sendall(host.encode())",
      "  s.shutdown(socket.SHUT_WR)",
      "  print(s.makefile().read(), end='')",
    ].join("\n");
    assert.equal(await printed(sandbox, ask), "443 heard docs\n80 heard localhost\n3128 heard 127.0.0.1\n");
    const serve = [
      "import socket",
      "s = socket.create_server(('127.0.0.1', 8080))",
      "print('ready', flush=True)",
      "c = s.accept()[0]",
      "c.sendall(c.recv(100).upper())",
      "c.close()",
    ].join("\n");
    const argv = ["python3", "-c", serve];
    const exec = await sandbox.guest.exec({ argv, env: {}, cwd: "/workspace", stdin: "none" });
    await exec.output[Symbol.asyncIterator]().next();
    const socket = await sandbox.guest.connect(8080);
    socket.write("previewed");
    const answer: Buffer[] = [];
    for await (const chunk of socket) answer.push(chunk as Buffer);
    assert.equal(String(Buffer.concat(answer)), "PREVIEWED");
  },
);

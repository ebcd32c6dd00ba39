/** Set-up's way to an engine, on a make-believe host: its `apt-get` installs a make-believe `dockerd`. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { addressOf } from "../../../scripts/setup/engine-client.mjs";
import { ensureEngine } from "../../../scripts/setup/engine.mjs";

interface Host {
  env: Record<string, string>;
  root: boolean;
  systemd: boolean;
  socket: string;
  otherSockets: string[];
  logFile: string;
  find: (name: string) => string | undefined;
  install: (packages: string[]) => Promise<void>;
}

interface TestHost extends AsyncDisposable {
  host: Host;
  installed: string[];
  daemonPid: () => Promise<number>;
}

/** Answers like an engine once it has been started with the flags it needs, else ends at once with a reason. */
const dockerd = (dir: string, needs: string): string => `#!${process.execPath}
const { createServer } = require("node:http");
const { writeFileSync } = require("node:fs");
if (!process.argv.includes(${JSON.stringify(needs)}) && ${JSON.stringify(needs)} !== "") {
  console.error("cannot make a NAT chain");
  process.exit(1);
}
const socket = process.argv.find((arg) => arg.startsWith("--host=unix://")).slice("--host=unix://".length);
const server = createServer((_request, reply) => reply.end('{"Version":"1.2.3"}')).listen(socket);
writeFileSync(${JSON.stringify(join(dir, "pid"))}, String(process.pid));
setTimeout(() => process.exit(), 30_000);
process.on("SIGTERM", () => process.exit());
`;

async function testHost(needs = ""): Promise<TestHost> {
  const dir = await mkdtemp(join(tmpdir(), "sallyport-engine-"));
  const installed: string[] = [];
  const programs = new Map([["apt-get", "/usr/bin/apt-get"]]);
  const daemonPid = async (): Promise<number> => Number(await readFile(join(dir, "pid"), "utf8"));
  const host: Host = {
    env: {},
    root: true,
    systemd: false,
    socket: join(dir, "engine.sock"),
    otherSockets: [],
    logFile: join(dir, "dockerd.log"),
    find: (name) => programs.get(name),
    install: async (packages) => {
      installed.push(...packages);
      programs.set("dockerd", join(dir, "dockerd"));
      await writeFile(join(dir, "dockerd"), dockerd(dir, needs));
      await chmod(join(dir, "dockerd"), 0o755);
    },
  };
  return {
    host,
    installed,
    daemonPid,
    [Symbol.asyncDispose]: async () => {
      await daemonPid()
        .then((pid) => process.kill(pid))
        .catch(() => undefined);
      await rm(dir, { recursive: true });
    },
  };
}

const ensure = (host: Host, signal = new AbortController().signal): Promise<{ summary: string }> =>
  ensureEngine({ signal, host }, () => {});

test("on Debian as root an engine is installed, started, and stays when set-up ends", async () => {
  await using there = await testHost();
  const engine = await ensure(there.host);
  assert.match(engine.summary, /^Docker 1\.2\.3 at unix:/);
  assert.deepEqual(there.installed.slice(0, 2), ["docker.io", "ca-certificates"]);
  assert.ok(process.kill(await there.daemonPid(), 0));
});

test("an engine that answers is used as it is, and so is one that is installed but not started", async () => {
  await using there = await testHost();
  await there.host.install([]);
  await ensure(there.host);
  const first = await there.daemonPid();
  await ensure(there.host);
  assert.equal(await there.daemonPid(), first);
  assert.deepEqual(there.installed, []);
});

test("where no bridge can be made the engine is started without one", async () => {
  await using there = await testHost("--bridge=none");
  assert.match((await ensure(there.host)).summary, /1\.2\.3/);
});

test("an engine that does not start is told with the end of its log", async () => {
  await using there = await testHost("--never");
  await assert.rejects(ensure(there.host), (error: Error & { output: string; fix: string }) => {
    assert.match(error.output, /cannot make a NAT chain[^]*cannot make a NAT chain/);
    assert.match(error.fix, /dockerd\.log/);
    return true;
  });
});

for (const [what, change] of [
  ["an ordinary user", { root: false }],
  ["root on a host without apt", { find: () => undefined }],
] as const) {
  test(`${what} without an engine is told what to install`, async () => {
    await using there = await testHost();
    await assert.rejects(ensure({ ...there.host, ...change }), (error: Error & { fix: string }) => {
      assert.match(error.message, /no Docker-compatible engine/);
      assert.match(error.fix, /apt-get install docker\.io/);
      return true;
    });
    assert.deepEqual(there.installed, []);
  });
}

test("with DOCKER_HOST set nothing else is tried", async () => {
  await using there = await testHost();
  const host = { ...there.host, env: { DOCKER_HOST: `unix://${there.host.socket}.other` } };
  await assert.rejects(ensure(host), /DOCKER_HOST=unix:.*\.other/);
  assert.deepEqual(there.installed, []);
});

test("DOCKER_HOST may be a TCP address", async () => {
  await using there = await testHost();
  const server = createServer((_request, reply) => reply.end('{"Version":"4.5.6"}')).listen(0, "127.0.0.1");
  try {
    await once(server, "listening");
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    const env = { DOCKER_HOST: `tcp://127.0.0.1:${address.port}` };
    assert.match((await ensure({ ...there.host, env })).summary, /4\.5\.6/);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test("addresses that set-up cannot speak are refused with the forms it can", () => {
  for (const bad of ["ssh://user@host", "/var/run/docker.sock", "npipe:////./pipe/docker", ""]) {
    assert.throws(() => addressOf(bad, {}), /DOCKER_HOST/);
  }
  assert.deepEqual(addressOf("unix:///run/user/1000/docker.sock", {}), {
    socketPath: "/run/user/1000/docker.sock",
  });
});

test("an engine at another of the usual sockets is used before one is installed", async () => {
  await using there = await testHost();
  await using other = await testHost();
  await ensure(other.host);
  const { summary } = await ensure({
    ...there.host,
    otherSockets: ["/nonexistent/socket", other.host.socket],
  });
  assert.match(summary, new RegExp(`at unix://${other.host.socket}$`));
  assert.deepEqual(there.installed, []);
});

import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  countFlag,
  devSettings,
  durationFlag,
  findDev,
  findHub,
  hubSettings,
  pairsFlag,
  readEnvironment,
  readSecretFile,
  sizeFlag,
  workerSettings,
  writeDevFile,
} from "../../../src/config/index.ts";

function folder(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "sallyport-config-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

function secret(dir: string, name: string, text: string, mode = 0o600): string {
  const path = join(dir, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

const faultOf = (run: () => unknown): { message: string; details: Record<string, unknown> } => {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof Error && "code" in error && "details" in error);
    assert.equal(error.code, "config_invalid");
    return { message: error.message, details: error.details as Record<string, unknown> };
  }
  assert.fail("nothing was thrown");
};

test("the environment is read under its names, frozen", () => {
  const environment = readEnvironment({ SALLYPORT_HUB: "http://h", DOCKER_HOST: "", PATH: "/bin" });
  assert.equal(environment.hub, "http://h");
  assert.equal(environment.dockerHost, undefined);
  assert.ok(Object.isFrozen(environment));
});

test("a mistyped variable is an error naming it, and what Kubernetes sets is not one", () => {
  const { message, details } = faultOf(() => readEnvironment({ SALLYPORT_HUBB: "x" }));
  assert.equal(message, "environment: SALLYPORT_HUBB: unknown key");
  assert.match(String(details["fix"]), /SALLYPORT_HUB,/);
  readEnvironment({ SALLYPORT_PORT_7070_TCP_ADDR: "10.0.0.1", SALLYPORT_SERVICE_HOST: "10.0.0.1" });
});

test("an empty or unknown value is an error naming its variable", () => {
  assert.equal(
    faultOf(() => readEnvironment({ SALLYPORT_HUB: "" })).message,
    "environment: SALLYPORT_HUB: is empty",
  );
  assert.match(
    faultOf(() => readEnvironment({ SALLYPORT_LOG_LEVEL: "loud" })).message,
    /SALLYPORT_LOG_LEVEL: is none/,
  );
});

test("a key file gives its one line", () => {
  using dir = folder();
  assert.equal(readSecretFile(secret(dir.path, "k", "sp_abc\n"), "key"), "sp_abc");
});

test("a key file that others can read is refused with the command that mends it", () => {
  using dir = folder();
  for (const mode of [0o640, 0o604, 0o644, 0o660]) {
    const path = secret(dir.path, "k", "sp_abc", mode);
    const { message, details } = faultOf(() => readSecretFile(path, "key"));
    assert.match(message, new RegExp(`${path}: others can read this key \\(mode 0${mode.toString(8)}\\)`));
    assert.equal(details["fix"], `chmod 600 ${path}`);
    assert.doesNotMatch(message, /sp_abc/);
  }
});

test("a key file that is missing, a folder, empty, large or no line of text is refused by name", () => {
  using dir = folder();
  const paths = [
    join(dir.path, "missing"),
    dir.path,
    secret(dir.path, "empty", "\n"),
    secret(dir.path, "large", "x".repeat(5_000)),
    secret(dir.path, "two", "a\nb"),
    secret(dir.path, "binary", "\0\xff"),
  ];
  for (const path of paths)
    assert.match(faultOf(() => readSecretFile(path, "key")).message, new RegExp(path));
});

test("flags come before the environment, and both before a running dev", () => {
  using dir = folder();
  const [a, b] = [secret(dir.path, "a", "sp_a"), secret(dir.path, "b", "sp_b")];
  mkdirSync(join(dir.path, ".sallyport"));
  using _dev = writeDevFile(join(dir.path, ".sallyport"), {
    url: "http://127.0.0.1:1",
    keyFile: a,
    pid: process.pid,
  });
  const below = join(dir.path, "x", "y");
  mkdirSync(below, { recursive: true });
  const environment = { hub: "http://env", keyFile: b };
  assert.deepEqual(findHub({ hub: "http://flag", keyFile: a }, environment, below), {
    url: "http://flag",
    key: "sp_a",
  });
  assert.deepEqual(findHub({}, environment, below), { url: "http://env", key: "sp_b" });
  assert.deepEqual(findHub({}, {}, below), { url: "http://127.0.0.1:1", key: "sp_a" });
  assert.match(faultOf(() => findHub({ hub: "http://flag" }, {}, below)).message, /--key-file: no key/);
});

test("without any hub the error says how to get one", () => {
  using dir = folder();
  assert.throws(() => findHub({}, { stateDir: dir.path }, dir.path), {
    code: "hub_unreachable",
    details: { fix: "start one with `sallyport dev`, or name one with --hub or SALLYPORT_HUB" },
  });
});

test("what a dead dev left behind is not a running one, and disposing takes the file away", () => {
  using dir = folder();
  const content = { url: "http://127.0.0.1:1", keyFile: "/k", pid: 2 ** 22 + 1 };
  using handle = writeDevFile(dir.path, content);
  assert.equal(findDev(dir.path, dir.path), undefined);
  handle[Symbol.dispose]();
  assert.equal(existsSync(handle.path), false);
});

test("a dev file is refused when others can write it, or it points away from this host", () => {
  using dir = folder();
  const write = (content: unknown, mode = 0o600): void => {
    secret(dir.path, "dev.json", JSON.stringify(content), mode);
  };
  const good = { url: "http://127.0.0.1:1", keyFile: "/k", pid: process.pid };
  write(good, 0o666);
  assert.match(faultOf(() => findDev("/", dir.path)).message, /somebody else/);
  write({ ...good, url: "http://evil.example" });
  assert.match(faultOf(() => findDev("/", dir.path)).message, /dev\.json: url/);
  write({ ...good, extra: 1 });
  assert.match(faultOf(() => findDev("/", dir.path)).message, /dev\.json: extra: unknown key/);
  secret(dir.path, "dev.json", "{");
  assert.match(faultOf(() => findDev("/", dir.path)).message, /not JSON/);
});

test("values of flags are checked, each fault names its flag", () => {
  assert.equal(countFlag("-5", "--priority", { min: -100, max: 100 }), -5);
  assert.equal(durationFlag("2s", "--timeout"), 2_000);
  assert.equal(sizeFlag("1GiB", "--memory"), 2 ** 30);
  assert.deepEqual(pairsFlag(["A=1", "B=", "C=x=y"], "--env"), { A: "1", B: "", C: "x=y" });
  for (const text of ["", "x", "1.5", "101", "1e2", " 1"]) {
    assert.match(
      faultOf(() => countFlag(text, "--priority", { min: -100, max: 100 })).message,
      /^--priority: /,
    );
  }
  assert.match(faultOf(() => durationFlag("fast", "--timeout")).message, /^--timeout: "fast"/);
  assert.match(faultOf(() => sizeFlag("1", "--memory")).message, /^--memory: "1"/);
  assert.match(faultOf(() => pairsFlag(["=1"], "--env")).message, /^--env: "=1"/);
});

test("the hub listens on loopback unless told otherwise", () => {
  const { host, port, stateDir } = hubSettings({}, {}, "/srv");
  assert.deepEqual(
    { host, port, stateDir },
    { host: "127.0.0.1", port: 7070, stateDir: "/srv/.sallyport/hub" },
  );
  assert.equal(hubSettings({ listen: "[::1]:0" }, {}, "/srv").host, "::1");
  for (const listen of ["7070", ":7070", "h:70000", "::1:80", "h:p"]) {
    assert.match(faultOf(() => hubSettings({ listen }, {}, "/")).message, /^--listen: /);
  }
});

test("a public host is a name or an address, since nothing else can be compared with a request's", () => {
  const publicHost = ["hub.example.com", "lb", "10.0.0.1", "2001:db8::1"];
  assert.deepEqual(hubSettings({ publicHost }, {}, "/").publicHosts, publicHost);
  for (const wrong of ["hub.example.com:443", "https://hub.example.com", "[2001:db8::1]", "*.example.com"]) {
    assert.match(
      faultOf(() => hubSettings({ publicHost: ["lb", wrong] }, {}, "/")).message,
      /^--public-host: /,
    );
  }
});

test("what a hub advertises is the address of one, or derived from where it listens", () => {
  const advertised = (advertise?: string) =>
    hubSettings(advertise === undefined ? {} : { advertise }, {}, "/").advertise;
  assert.equal(advertised(), null);
  assert.equal(advertised("https://hub-1:7070/"), "https://hub-1:7070");
  for (const wrong of [
    "hub-1:7070",
    "ws://hub-1",
    "http://hub-1/path",
    "http://u:p@hub-1",
    "http://hub-1/?q",
  ]) {
    assert.match(faultOf(() => advertised(wrong)).message, /^--advertise: /);
  }
});

test("a worker needs a hub and a token, and derives its size from the host", () => {
  using dir = folder();
  const tokenFile = secret(dir.path, "worker.token", "sp_w");
  assert.match(faultOf(() => workerSettings({}, {}, "/")).message, /^--hub: /);
  assert.match(faultOf(() => workerSettings({ hub: "http://h" }, {}, "/")).message, /^--token-file: /);
  const settings = workerSettings(
    { label: ["gpu=yes"] },
    { hub: "http://h", tokenFile, dockerHost: "tcp://e" },
    "/",
  );
  assert.equal(settings.tokenFile, tokenFile);
  assert.equal(settings.dockerHost, "tcp://e");
  assert.deepEqual(settings.labels, { gpu: "yes" });
  assert.ok(settings.slots >= 4 && settings.memoryBytes > 0 && Object.isFrozen(settings));
});

test("dev takes its flags before the environment", () => {
  const settings = devSettings(
    { state: "s", slots: "3", memory: "1GiB" },
    { stateDir: "e", profilesDir: "p" },
    "/w",
  );
  assert.equal(settings.stateDir, "/w/s");
  assert.equal(settings.profilesDir, "/w/p");
  assert.equal(settings.slots, 3);
  assert.equal(settings.memoryBytes, 2 ** 30);
  assert.equal(settings.port, 0);
});

test("a database's URL comes from a file, the environment or the command line, and no password from the last", () => {
  using dir = folder();
  const url = "postgres://hub:secret@db/sallyport";
  const path = secret(dir.path, "database-url", `${url}\n`);
  const databaseOf = (flags: Parameters<typeof hubSettings>[0], environment = {}): string | null =>
    hubSettings(flags, readEnvironment(environment), dir.path).database;
  assert.equal(databaseOf({}), null);
  assert.equal(databaseOf({ databaseUrlFile: path }), url);
  assert.equal(databaseOf({ databaseUrlFile: path }, { SALLYPORT_DATABASE: "postgres://other/x" }), url);
  assert.equal(databaseOf({}, { SALLYPORT_DATABASE: url }), url);
  assert.equal(databaseOf({ database: "postgres://hub@db/x" }), "postgres://hub@db/x");
  const wrong = [
    { database: url },
    { database: "mysql://db/x" },
    { database: "postgres://db/x", databaseUrlFile: path },
  ];
  for (const flags of wrong) {
    const { message, details } = faultOf(() => databaseOf(flags));
    assert.ok(!`${message} ${JSON.stringify(details)}`.includes("secret"), message);
  }
});

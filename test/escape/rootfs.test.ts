/** The root file system is read-only; what can be written is three folders, shared memory and nothing of the host. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Sandbox } from "../../src/sandbox/index.ts";
import { rawEngine, requireEngine } from "../helpers/docker.ts";
import { attack, attempt, attemptIn, EscapeRoom } from "../helpers/escape.ts";

const skip = await requireEngine();

interface Found {
  places: string[];
  files: string[];
  refused: Record<string, number>;
  mounts: { point: string; root: string; type: string; options: string[] }[];
  tries: Record<string, string>;
}
/** `/dev/shm` and `/dev/mqueue` are the kernel's shared memory and queues of this sandbox alone. */
const writable = ["/dev/mqueue", "/dev/shm", "/run/sallyport", "/tmp", "/workspace"];
/** The engine writes these three for every container, and mounts them from its own folder. */
const engineFiles = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

const underWorkspace = (paths: string[]): string[] =>
  paths.filter((path) => !writable.some((root) => path === root || path.startsWith(`${root}/`)));

describe("root file system", { skip }, () => {
  let room: EscapeRoom;
  let sandbox: Sandbox;
  let found: Found;
  before(async () => {
    room = await EscapeRoom.open("rootfs");
    sandbox = await room.create();
    found = await attempt<Found>(sandbox, attack("writable"));
  });
  after(async () => {
    await sandbox[Symbol.asyncDispose]();
    await room[Symbol.asyncDispose]();
  });

  test("of all folders only the sandbox's own take a file", () => {
    assert.deepEqual(underWorkspace(found.places), []);
    for (const folder of ["/workspace", "/tmp", "/run/sallyport"])
      assert.ok(found.places.includes(folder), folder);
    assert.ok(
      Object.values(found.refused).reduce((sum, count) => sum + count) > 500,
      "the whole tree was tried",
    );
  });

  test("no existing file can be opened for writing but devices and what is one's own", () => {
    assert.deepEqual(
      found.files.filter((path) => !/^\/(dev|sys\/fs\/cgroup|run\/sallyport)\//.test(path)),
      [],
    );
    assert.deepEqual(
      found.files.filter((path) => path.startsWith("/sys/")),
      [],
    );
  });

  test("programs, accounts, host names and the guest cannot be overwritten, moved, linked or changed", () => {
    for (const [name, answer] of Object.entries(found.tries)) {
      assert.match(answer, /^(EROFS|EACCES|EPERM|EXDEV)$/, `${name}: ${answer}`);
    }
  });

  test("nothing of the host is mounted but the three files the engine writes, and those read-only", () => {
    const kernel = ["proc", "sysfs", "cgroup", "cgroup2", "mqueue", "devpts", "tmpfs", "overlay"];
    const foreign = found.mounts.filter(({ type }) => !kernel.includes(type));
    assert.deepEqual(
      foreign.filter(({ point }) => !engineFiles.includes(point)).map(({ point }) => point),
      [],
    );
    for (const { point, options } of [...foreign, ...found.mounts.filter(({ point }) => point === "/")]) {
      assert.ok(options.includes("ro"), `${point} is read-only`);
    }
  });

  test("the writable folders take no device and no set-user-id, and only /workspace runs programs", () => {
    for (const folder of ["/workspace", "/tmp", "/run/sallyport", "/dev/shm"]) {
      const options = found.mounts.find(({ point }) => point === folder)?.options ?? [];
      assert.ok(options.includes("nosuid") && options.includes("nodev"), folder);
      assert.equal(options.includes("noexec"), folder !== "/workspace", folder);
    }
  });

  test("the engine knows of no bind, volume, port or device in a live sandbox", async () => {
    const { HostConfig, Mounts, NetworkSettings } = await rawEngine().getContainer(sandbox.id).inspect();
    assert.deepEqual([HostConfig.Binds ?? [], HostConfig.Mounts ?? [], Mounts], [[], [], []]);
    assert.deepEqual([HostConfig.VolumesFrom ?? [], HostConfig.Devices ?? []], [[], []]);
    assert.deepEqual([NetworkSettings.Ports, HostConfig.PortBindings ?? {}], [{}, {}]);
    assert.deepEqual(Object.keys(NetworkSettings.Networks), ["none"]);
    assert.deepEqual(
      [HostConfig.Privileged, HostConfig.PidMode, HostConfig.ReadonlyRootfs],
      [false, "", true],
    );
  });

  test("control: with a writable root and root's identity the same search finds places", async () => {
    const body = room.sandboxBody((change) => {
      change.User = "0:0";
      change.HostConfig.ReadonlyRootfs = false;
    });
    const weak = await attemptIn<Found>(room, body, attack("writable"));
    assert.ok(underWorkspace(weak.places).includes("/etc"));
    assert.equal(weak.tries["overwrite /etc/passwd"], "ok");
  });
});

/** No road leads from a sandbox to the engine. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Sandbox } from "../../src/sandbox/index.ts";
import { hostAddresses } from "../helpers/canary.ts";
import { requireEngine } from "../helpers/docker.ts";
import { attack, attempt, attemptIn, EscapeRoom } from "../helpers/escape.ts";

const skip = await requireEngine();
const ports = [2375, 2376, 2377, 4243, 10250, 5000];
const sockets = [
  "/var/run/docker.sock",
  "/run/docker.sock",
  "/run/containerd/containerd.sock",
  "/run/podman/podman.sock",
  "/run/crio/crio.sock",
  "/run/user/1000/docker.sock",
];
/** Every UNIX socket in the file system, by looking, and an engine's greeting wherever one answers. */
const search = `import json, os, socket, stat, sys
found = []
for folder, names, files in os.walk("/"):
    if folder == "/proc": names[:] = []
    for name in files:
        path = os.path.join(folder, name)
        try:
            if not stat.S_ISSOCK(os.lstat(path).st_mode): continue
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(2); s.connect(path); s.sendall(b"GET /_ping HTTP/1.0\\r\\n\\r\\n")
                found.append([path, s.recv(200).decode("latin-1")])
        except OSError as error: found.append([path, str(error)])
inherited = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}")]
print(json.dumps({"found": found, "inherited": [to for to in inherited if "sock" in to], "mounts": open("/proc/self/mountinfo").read()}))`;

interface Road {
  found: [string, string][];
  inherited: string[];
  mounts: string;
}

describe("engine road", { skip }, () => {
  let room: EscapeRoom;
  let sandbox: Sandbox;
  before(async () => {
    room = await EscapeRoom.open("engine-road");
    sandbox = await room.create();
  });
  after(async () => {
    await sandbox[Symbol.asyncDispose]();
    await room[Symbol.asyncDispose]();
  });

  test("there is no UNIX socket in the whole file system, mounted or inherited", async () => {
    const { found, inherited, mounts } = await attempt<Road>(sandbox, ["python3", "-I", "-c", search]);
    assert.deepEqual([found, inherited], [[], []]);
    assert.doesNotMatch(mounts, /\.sock\b/);
  });

  test("no port of an engine answers on any address of the host, and no known socket is there", async () => {
    const hosts = [...hostAddresses(), "172.17.0.1", "host.docker.internal", "127.0.0.1", "::1"];
    const plan = JSON.stringify({ hosts, tcp: ports, udp: [], unix: sockets, wait: 0.5 });
    const tried = await attempt<{ protocol: string; reply?: string; error?: string }[]>(
      sandbox,
      attack("reach", plan),
    );
    const calls = tried.filter(({ protocol }) => protocol !== "icmp");
    assert.ok(calls.length > 0);
    assert.deepEqual(
      calls.filter(({ reply }) => reply !== undefined),
      [],
    );
    assert.ok(
      calls.every(({ error }) => error !== "timeout"),
      "refused at once, not lost on the way",
    );
  });

  test("control: with the engine's socket mounted the same search gets its greeting", async () => {
    const body = room.sandboxBody((change) => {
      change.User = "0:0";
      change.HostConfig.CapDrop = [];
      change.HostConfig.Binds = ["/var/run/docker.sock:/tmp-engine.sock"];
    });
    const { found } = await attemptIn<Road>(room, body, ["python3", "-I", "-c", search]);
    assert.match(found.find(([path]) => path === "/tmp-engine.sock")?.[1] ?? "", /200 OK/);
  });
});

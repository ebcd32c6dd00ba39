import assert from "node:assert/strict";
import { test } from "node:test";
import { warningsOf } from "../../../../src/sandbox/docker/known-holes.ts";

const sound = { security: "name=apparmor name=rootless", cgroup: "v2 (systemd)" };

function warned(version: string, described: Record<string, string> = {}): string {
  const facts = { name: "", version, runtimes: [], cpus: 1, memoryBytes: 1, warnings: [] };
  return warningsOf({ ...facts, described: { ...sound, ...described } }).join("\n");
}

test("a host with every fix and every layer is not warned of", () => {
  assert.equal(warned("29.6.0", { runc: "1.4.4", kernel: "7.1.2" }), "");
});

test("what a version lacks is named by its ids and the fixed versions", () => {
  const said = warned("20.10.24+dfsg1", { runc: "1.1.4", kernel: "6.1.0-42-amd64" });
  for (const id of [
    "CVE-2024-29018",
    "CVE-2026-34040",
    "CVE-2026-41567",
    "CVE-2024-21626",
    "CVE-2025-31133",
  ]) {
    assert.ok(said.includes(id), id);
  }
  for (const id of ["CVE-2026-41579", "CVE-2026-31431", "CVE-2026-43284", "CVE-2026-43500"]) {
    assert.ok(said.includes(id), id);
  }
  assert.match(said, /runc 1\.1\.4 .*fixed in 1\.2\.8, 1\.3\.3, 1\.4\.0/);
});

test("a fix counts within its own line, and behind the last line that needed one", () => {
  const lacks = (runc: string): boolean => warned("29.6.0", { runc }).includes("CVE-2025-31133");
  assert.deepEqual(["1.2.7", "1.2.8", "1.2.9", "1.3.2", "1.3.3", "1.4.0", "1.5.1", "2.0.0"].map(lacks), [
    true,
    false,
    false,
    true,
    false,
    false,
    false,
    false,
  ]);
});

test("a distribution's package with a fix carried back is known where that is known", () => {
  const said = warned("29.6.0", { runc: "1.1.5+ds1-1+deb12u1" });
  assert.ok(!said.includes("CVE-2024-21626"));
  assert.ok(said.includes("CVE-2025-31133"));
});

test("a version nobody can read is not judged", () => {
  assert.equal(warned("master-dockerproject", { kernel: "unknown" }), "");
});

test("missing layers are told", () => {
  const said = warned("29.6.0", { security: "", cgroup: "v1 (cgroupfs)" });
  assert.match(said, /cgroup v1/);
  assert.match(said, /no AppArmor or SELinux/);
  assert.match(said, /neither rootless/);
});

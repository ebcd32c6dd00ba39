/** The pure parts of the pool: what interpreters say, whom they suit, and when it is calm. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Calm } from "../../../src/worker/calm.ts";
import { earlyStartOf } from "../../../src/worker/languages.ts";
import { AnnouncementSearch, type Announcement } from "../../../src/worker/pool/announcement.ts";
import { suits } from "../../../src/worker/pool/suits.ts";
import { testProfile } from "../../helpers/simulated-hub.ts";

const nonce = "0123456789abcdef01234567";
const stdoutLine = `\n${nonce} ready 1500 json numpy\n`;
const stderrLine = `\n${nonce}\n`;

/** Pushes `bytes` in pieces of the given sizes, cyclically. */
function feed(
  search: AnnouncementSearch,
  stream: "stdout" | "stderr",
  text: Uint8Array,
  sizes: readonly number[],
): Announcement | undefined {
  let heard: Announcement | undefined;
  for (let at = 0, turn = 0; at < text.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    heard = search.push({ stream, bytes: text.subarray(at, at + size) }) ?? heard;
    at += size;
  }
  return heard;
}

test("an announcement is found behind any noise, however it is cut, and what follows it is kept byte for byte", () => {
  const bytes = fc.uint8Array({ maxLength: 200 });
  const sizes = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 });
  fc.assert(
    fc.property(bytes, bytes, bytes, sizes, (noise, after, errors, cut) => {
      const search = new AnnouncementSearch(nonce);
      const printed = Buffer.concat([noise, Buffer.from(stdoutLine), after]);
      assert.equal(feed(search, "stdout", printed, cut), undefined);
      const heard = feed(search, "stderr", Buffer.concat([errors, Buffer.from(stderrLine)]), cut);
      assert.deepEqual(heard, { kind: "ready", cpuMs: 1.5, names: new Set(["json", "numpy"]) });
      const rest = Buffer.concat(search.rest.map((chunk) => chunk.bytes));
      assert.deepEqual(rest, Buffer.from(after));
    }),
    { numRuns: 200 },
  );
});

test("a module that failed is told with its name and reason, without waiting for stderr", () => {
  const search = new AnnouncementSearch(nonce);
  const line = Buffer.from(`noise\n${nonce} failed a.b ModuleNotFoundError: No module named 'a'\n`);
  assert.deepEqual(search.push({ stream: "stdout", bytes: line }), {
    kind: "failed",
    module: "a.b",
    reason: "ModuleNotFoundError: No module named 'a'",
  });
});

test("a line that makes no sense or has no end is a violation", () => {
  for (const text of [
    `\n${nonce} ready x\n`,
    `\n${nonce} ready -1\n`,
    `\n${nonce}\n`,
    `\n${nonce} ${"a".repeat(600_000)}`,
  ]) {
    const search = new AnnouncementSearch(nonce);
    const push = (): unknown => search.push({ stream: "stdout", bytes: Buffer.from(text) });
    assert.throws(push, { code: "guest_violation" }, text.slice(0, 60));
  }
});

test("variables that are read at an interpreter's start want one that starts with them, others do not", () => {
  const names = new Set<string>();
  for (const name of ["PYTHONHASHSEED", "NODE_OPTIONS", "LD_PRELOAD", "LC_ALL", "LANG", "TZ", "PATH", "HOME"])
    assert.equal(suits({ env: { [name]: "x" }, files: [] }, names), false, name);
  for (const name of ["API_KEY", "LANGUAGE_MODEL", "XPATH", "DEBUG", "python"])
    assert.equal(suits({ env: { [name]: "x" }, files: [] }, names), true, name);
});

test("a file that would have been imported in the place of a loaded module wants a fresh interpreter", () => {
  const loaded = new Set(["json", "numpy", "node_modules"]);
  const paths: Record<string, boolean> = {
    "json.py": false,
    "json/__init__.py": false,
    "numpy.cpython-311-x86_64-linux-gnu.so": false,
    "node_modules/x/index.js": false,
    ".local/lib/python3.11/site-packages/x.pth": false,
    "json.csv": true,
    "json.txt": true,
    "helper.py": true,
    "data/json.py": true,
    ".localrc": true,
  };
  for (const [path, suited] of Object.entries(paths))
    assert.equal(suits({ env: {}, files: [{ path, size: 0 }] }, loaded), suited, path);
});

test("an interpreter is started early with the profile's modules and environment, a shell never is", () => {
  const languages = { python: { preload: ["json", "a.b"] }, node: {}, shell: {} };
  const profile = testProfile("p", { languages, env: { PYTHONPATH: "/lib", X: "1" } });
  const python = earlyStartOf("python", profile, nonce);
  assert.deepEqual(python?.argv, ["python3", "main.py"]);
  assert.equal(python.env["SALLYPORT_WARM"], `${nonce} json a.b`);
  assert.equal(python.env["PYTHONPATH"], "/opt/sallyport:/lib");
  assert.equal(python.env["X"], "1");
  assert.equal(earlyStartOf("node", profile, nonce)?.env["SALLYPORT_WARM"], nonce);
  assert.equal(earlyStartOf("shell", profile, nonce), undefined);
});

test("it is calm once nobody has been on the way for a moment, or after too long", async () => {
  const never = new AbortController().signal;
  const calm = new Calm();
  await calm.wait({ quietMs: 1_000_000, patienceMs: 1_000_000 }, never);
  const job = calm.disturb();
  let isCalm = false;
  const waiting = calm.wait({ quietMs: 1, patienceMs: 1_000_000 }, never).then(() => {
    isCalm = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(isCalm, false);
  job[Symbol.dispose]();
  job[Symbol.dispose]();
  await waiting;
  using _other = calm.disturb();
  await calm.wait({ quietMs: 1, patienceMs: 5 }, never);
});

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { isError } from "../../../../src/errors.ts";
import { loadProfiles } from "../../../../src/sandbox/profile/index.ts";
import { sampleProfile } from "./sample.ts";

async function folderWith(files: Record<string, string>): Promise<AsyncDisposable & { dir: string }> {
  const dir = await mkdtemp(join(tmpdir(), "sallyport-profiles-"));
  for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
  return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

const named = (name: string): string => JSON.stringify({ ...sampleProfile(), name });

test("the shipped profiles are all right, and every one names a shipped image", async () => {
  const { profiles, problems } = await loadProfiles(
    fileURLToPath(new URL("../../../../sandbox-profiles", import.meta.url)),
  );
  assert.deepEqual(problems, []);
  for (const name of ["fanout", "gvisor", "heavy", "node", "python", "shell"])
    assert.ok(profiles.has(name), name);
  for (const { image } of profiles.values()) assert.match(image, /^sallyport\/(base|python|node)$/);
  assert.equal(profiles.get("shell")?.resources.memory, 256 * 2 ** 20);
  assert.ok(200 * (profiles.get("fanout")?.resources.memory ?? 0) < 20 * 2 ** 30);
});

test("one wrong file does not hide the others, and each is told with its name", async () => {
  await using folder = await folderWith({
    "good.json": named("good"),
    "wrong-key.json": JSON.stringify({ ...sampleProfile(), name: "wrong-key", colour: 1 }),
    "not-json.json": '{\n  "name": "not-json",\n  oops\n}',
    "cut-off.json": '{\n  "name":',
    "empty.json": "",
    "other-name.json": named("good"),
    "schema.json": "not a profile at all",
    "notes.txt": "nor is this",
  });
  const { profiles, problems } = await loadProfiles(folder.dir);
  assert.deepEqual([...profiles.keys()], ["good"]);
  const told = problems.map(
    ({ source, path, reason }) => `${source.slice(folder.dir.length + 1)} ${path} ${reason}`,
  );
  assert.equal(told.length, 5, told.join("\n"));
  assert.match(told[0] ?? "", /^cut-off\.json:2 {2}is not JSON/);
  assert.match(told[1] ?? "", /^empty\.json:1 {2}is not JSON/);
  assert.match(told[2] ?? "", /^not-json\.json:3 {2}is not JSON/);
  assert.match(told[3] ?? "", /^other-name\.json name "good" must be the file's name, "other-name"/);
  assert.match(told[4] ?? "", /^wrong-key\.json colour unknown key/);
});

test("a file that is too large is told, not read", async () => {
  await using folder = await folderWith({ "big.json": " ".repeat(2 ** 20 + 1), "good.json": named("good") });
  const { profiles, problems } = await loadProfiles(folder.dir);
  assert.deepEqual([...profiles.keys()], ["good"]);
  assert.match(problems[0]?.reason ?? "", /larger than/);
});

test("what is no file is told, and neither waited for nor read", async () => {
  await using folder = await folderWith({ "good.json": named("good") });
  execFileSync("mkfifo", [join(folder.dir, "pipe.json")]);
  await symlink("/dev/zero", join(folder.dir, "device.json"));
  await mkdir(join(folder.dir, "folder.json"));
  const { profiles, problems } = await loadProfiles(folder.dir);
  assert.deepEqual([...profiles.keys()], ["good"]);
  assert.deepEqual(
    problems.map(({ source, reason }) => `${source.slice(folder.dir.length + 1)} ${reason}`),
    ["device", "folder", "pipe"].map((name) => `${name}.json is not a regular file`),
  );
});

test("a key that stands twice is told with its path, for the reader would keep the last one", async () => {
  const name = String.raw`"n\u0061me": "twice", "name": "twice"`;
  const env = String.raw`"env": {"A": "\\\"A\": {", "B": "A", "C": "", "A" : ""}`;
  const mcp = `"network": {"mcp": [{"host": "a"}, {"tools": [","], "host": "b", "host": "c"}]}`;
  await using folder = await folderWith({
    "twice.json": `{${name}, ${env}, ${mcp}}`,
    "good.json": named("good"),
  });
  const { profiles, problems } = await loadProfiles(folder.dir);
  assert.deepEqual([...profiles.keys()], ["good"]);
  assert.deepEqual(
    problems.map(({ path, reason }) => `${path} ${reason}`),
    ["name", "env.A", "network.mcp[1].host"].map((path) => `${path} stands there twice`),
  );
});

test("a folder that is not there is config_invalid", async () => {
  await assert.rejects(loadProfiles("/nonexistent/profiles"), (error) => isError(error, "config_invalid"));
});

import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ensureComposeEnv } from "../../../scripts/setup/compose-env.mjs";

test("the socket's group is added to what stands in .env, and one that stands there is left alone", async () => {
  const dir = await mkdtemp(join(tmpdir(), "sallyport-env-"));
  try {
    const file = join(dir, ".env");
    await writeFile(file, "API_PORT=7071");
    ensureComposeEnv(`unix://${dir}`, file);
    const gid = statSync(dir).gid;
    assert.equal(await readFile(file, "utf8"), `API_PORT=7071\nDOCKER_GID=${gid}\n`);
    await writeFile(file, "DOCKER_GID=4711\n");
    assert.match(ensureComposeEnv(`unix://${dir}`, file), /4711/);
    assert.equal(await readFile(file, "utf8"), "DOCKER_GID=4711\n");
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

test("an engine elsewhere has no group here", () => {
  assert.match(ensureComposeEnv("tcp://10.0.0.1:2375", "/nonexistent/.env"), /by hand/);
});

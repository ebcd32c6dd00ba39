import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readWorkerIdentity } from "../../../src/worker/index.ts";

async function folder(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), "sallyport-id-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

test("the worker id stays with the folder, the boot id does not", async () => {
  await using dir = await folder();
  const path = join(dir.path, "state");
  const [first, second] = await Promise.all([readWorkerIdentity(path), readWorkerIdentity(path)]);
  assert.equal(first.workerId, second.workerId);
  assert.notEqual(first.bootId, second.bootId);
  await using other = await folder();
  assert.notEqual((await readWorkerIdentity(other.path)).workerId, first.workerId);
});

test("a file that holds no id, and a folder that cannot be made, are coded errors", async () => {
  await using dir = await folder();
  await writeFile(join(dir.path, "worker-id"), "not an id!\n");
  await assert.rejects(readWorkerIdentity(dir.path), { code: "config_invalid" });
  await assert.rejects(readWorkerIdentity(join(dir.path, "worker-id", "below")), {
    code: "store_unavailable",
  });
});

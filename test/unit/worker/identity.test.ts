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

test("every life is above the one before, with a clock that was set back and with a file that was lost or garbled", async (t) => {
  await using dir = await folder();
  const life = async (): Promise<number> => (await readWorkerIdentity(dir.path)).life;
  const lives = [await life(), await life()];
  const real = Date.now();
  t.mock.method(Date, "now", () => real - 86_400_000);
  lives.push(await life(), await life());
  t.mock.restoreAll();
  assert.deepEqual(
    lives,
    lives.toSorted((a, b) => a - b),
  );
  assert.equal(new Set(lives).size, 4);
  t.mock.method(Date, "now", () => real + 60_000);
  for (const content of ["", "garbled", "-1"]) {
    await writeFile(join(dir.path, "worker-life"), content);
    assert.ok((await life()) > Math.max(...lives), content);
  }
  await rm(join(dir.path, "worker-life"));
  assert.ok((await life()) > Math.max(...lives), "lost");
});

test("a file that holds no id, and a folder that cannot be made, are coded errors", async () => {
  await using dir = await folder();
  await writeFile(join(dir.path, "worker-id"), "not an id!\n");
  await assert.rejects(readWorkerIdentity(dir.path), { code: "config_invalid" });
  await assert.rejects(readWorkerIdentity(join(dir.path, "worker-id", "below")), {
    code: "store_unavailable",
  });
});

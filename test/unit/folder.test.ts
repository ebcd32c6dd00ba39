import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { makeFolders } from "../../src/folder.ts";

const dir = mkdtempSync(join(tmpdir(), "sallyport-folder-"));
after(() => rmSync(dir, { recursive: true }));

test("folders are made down to the one that is named, with their mode, and once is as good as twice", async () => {
  const path = join(dir, "a", "b", "c");
  await makeFolders(path, 0o700);
  await makeFolders(path, 0o700);
  for (const made of ["a", "a/b", "a/b/c"]) assert.equal(statSync(join(dir, made)).mode & 0o777, 0o700);
  await Promise.all(Array.from({ length: 8 }, () => makeFolders(join(dir, "d", "e", "f"))));
  assert.ok(statSync(join(dir, "d", "e", "f")).isDirectory());
});

test("a folder that takes none, or a file in the way, is told at once", async () => {
  await assert.rejects(makeFolders("/proc/sallyport/a"), { code: "ENOENT" });
  writeFileSync(join(dir, "file"), "");
  await assert.rejects(makeFolders(join(dir, "file")), { code: "EEXIST" });
  await assert.rejects(makeFolders(join(dir, "file", "below")), { code: "ENOTDIR" });
});

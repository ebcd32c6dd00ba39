import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { pack, unpackOne } from "../../../scripts/setup/tar.mjs";

for (const size of [0, 1, 511, 512, 513, 200_000]) {
  test(`a file of ${size} bytes comes out of a tar as it went in`, async () => {
    const dir = await mkdtemp(join(tmpdir(), "sallyport-tar-"));
    try {
      const content = Buffer.alloc(size, "sallyport");
      await writeFile(join(dir, "in"), content);
      const tar = await buffer(pack([{ name: "out", path: join(dir, "in"), mode: 0o755 }]));
      assert.deepEqual(unpackOne(tar), content);
      const listed = execFileSync("tar", ["-tvf", "-"], { input: tar, encoding: "utf8" });
      assert.match(listed, new RegExp(`^-rwxr-xr-x \\S+ +${size} .* out\n$`));
    } finally {
      await rm(dir, { recursive: true });
    }
  });
}

test("a path of more than 100 bytes keeps its whole name", async () => {
  const dir = await mkdtemp(join(tmpdir(), "sallyport-tar-"));
  try {
    await writeFile(join(dir, "in"), "x");
    const name = `${"folder/".repeat(16)}${"f".repeat(100)}`;
    const tar = await buffer(pack([{ name, path: join(dir, "in") }]));
    assert.equal(execFileSync("tar", ["-tf", "-"], { input: tar, encoding: "utf8" }), `${name}\n`);
    const tooLong = pack([{ name: "f".repeat(101), path: join(dir, "in") }]);
    await assert.rejects(buffer(tooLong), /too long/);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test("a tar that holds something else, or is cut off, is refused", async () => {
  assert.throws(() => unpackOne(Buffer.alloc(0)), /one file/);
  assert.throws(() => unpackOne(Buffer.alloc(1024)), /one file/);
});

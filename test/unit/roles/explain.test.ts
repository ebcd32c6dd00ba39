import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { explainUrl } from "../../../src/roles/explain.ts";
import { certPem } from "../../helpers/tunnel-file.ts";

test("a CA file that cannot be used is told as such, not as a certificate nobody believes", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "sallyport-explain-"));
  t.after(() => rmSync(dir, { recursive: true }));
  writeFileSync(join(dir, "cut.crt"), certPem.slice(0, 200));
  writeFileSync(join(dir, "ca.crt"), certPem);
  const { signal } = new AbortController();
  const explain = (name: string): ReturnType<typeof explainUrl> =>
    explainUrl({ url: "https://docs.t.example/mcp", edge: "127.0.0.1:1", caFile: join(dir, name), signal });
  await assert.rejects(explain("cut.crt"), {
    code: "config_invalid",
    message: /^--ca: .*certificate 1 cannot/,
  });
  await assert.rejects(explain("none.crt"), { code: "config_invalid", message: /^--ca: .*ENOENT/ });
  assert.deepEqual(
    (await explain("ca.crt")).map(({ layer, ok }) => [layer, ok]),
    [["edge", false]],
  );
});

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { isError } from "../../../../src/errors.ts";
import { createAuthority } from "../../../../src/tunnel/index.ts";
import { loadUpstreamTrust } from "../../../../src/tunnel/upstream/trust.ts";

const dir = await mkdtemp(join(tmpdir(), "sallyport-trust-"));
after(() => rm(dir, { recursive: true }));
const { certPem, keyPem } = createAuthority({ commonName: "Upstream CA", days: 1 });
const file = async (text: string, name = "ca.crt"): Promise<string> => {
  const path = join(dir, name);
  await writeFile(path, text);
  return path;
};

test("without a file and without the system's authorities nobody is believed; with either somebody is", async () => {
  const caFile = await file(certPem);
  assert.equal(await loadUpstreamTrust({ caFile: null, includeSystemCas: false }), null);
  assert.notEqual(await loadUpstreamTrust({ caFile, includeSystemCas: false }), null);
  assert.notEqual(await loadUpstreamTrust({ caFile: null, includeSystemCas: true }), null);
});

test("a file that is missing, or holds no certificate or a damaged one, is refused by name", async () => {
  const cases: [caFile: string, reason: RegExp][] = [
    [join(dir, "none"), /none: ENOENT: no such file/],
    [await file("", "empty"), /empty: holds no certificate/],
    [await file(keyPem, "key"), /key: holds no certificate/],
    [await file(certPem.replace("\nM", "\nN"), "damaged"), /damaged: certificate 1 cannot be read/],
  ];
  for (const [caFile, reason] of cases) {
    await assert.rejects(loadUpstreamTrust({ caFile, includeSystemCas: true }), (error) => {
      assert.ok(isError(error, "config_invalid"));
      assert.match(error.message, reason);
      assert.equal(error.details["file"], caFile);
      return true;
    });
  }
});

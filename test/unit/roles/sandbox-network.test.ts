import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentLog } from "../../../src/log.ts";
import { openSandboxNetwork } from "../../../src/roles/sandbox-network.ts";
import { certPem } from "../../helpers/tunnel-file.ts";

test("a CA file for others' routes that cannot be used is told at the start", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "sallyport-network-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const host = { watchHangups: () => ({ [Symbol.dispose]: () => undefined }) };
  const open = (name: string): ReturnType<typeof openSandboxNetwork> => {
    const settings = { tunnelFile: null, tunnelCaFile: join(dir, name), stateDir: dir };
    return openSandboxNetwork({ settings, workerId: "w", host, log: silentLog() });
  };
  writeFileSync(join(dir, "ca.crt"), certPem);
  writeFileSync(join(dir, "cut.crt"), certPem.slice(0, 200));
  await (await open("ca.crt"))[Symbol.asyncDispose]();
  await assert.rejects(open("none.crt"), {
    code: "config_invalid",
    message: /^--tunnel-ca: .*none\.crt: ENOENT/,
  });
  await assert.rejects(open("cut.crt"), { code: "config_invalid", message: /certificate 1 cannot be read$/ });
});

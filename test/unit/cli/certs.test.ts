import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { CertificateFolder, Certs } from "../../../src/cli/index.ts";
import { cli } from "./harness.ts";

const state = (file: string, done: "made" | "kept") => ({
  done,
  file,
  fingerprint: "ab12",
  expiresAt: "2027-01-01",
});
const folder: CertificateFolder = {
  dir: "/certs",
  domain: "t.example",
  authority: state("/certs/ca.crt", "kept"),
  server: state("/certs/tls.crt", "made"),
};

function recording(): { asked: unknown[]; certs: () => Promise<Certs> } {
  const asked: unknown[] = [];
  const note = async (request: unknown): Promise<CertificateFolder> => {
    asked.push(request);
    return folder;
  };
  return { asked, certs: async () => ({ init: note, renew: note }) };
}

test("certs init makes certificates for 90 days in the folder that is named", async () => {
  const { asked, certs } = recording();
  using run = cli({ roles: { certs } });
  assert.equal(await run.raw("certs", "init", "--domain", "t.example", "--output", "out"), 0);
  assert.deepEqual(asked, [{ dir: join(run.cwd, "out"), domain: "t.example", days: 90 }]);
  assert.match(run.stdout().toString(), /^DONE .*\nkept +\/certs\/ca\.crt .*\nmade +\/certs\/tls\.crt /);
});

test("certs renew keeps what is good for 30 days, and 0 keeps nothing", async () => {
  const { asked, certs } = recording();
  using run = cli({ roles: { certs } });
  assert.equal(await run.raw("certs", "renew", "--output", "/certs"), 0);
  assert.equal(
    await run.raw("certs", "renew", "--output", "/certs", "--renew-before", "0", "--duration", "24h"),
    0,
  );
  assert.deepEqual(asked, [
    { dir: "/certs", days: 90, renewBeforeDays: 30 },
    { dir: "/certs", days: 1, renewBeforeDays: 0 },
  ]);
});

test("certs --json prints the folder as it is", async () => {
  using run = cli({ roles: { certs: recording().certs } });
  assert.equal(await run.raw("certs", "renew", "--output", "/certs", "--json"), 0);
  assert.deepEqual(JSON.parse(run.stdout().toString()), folder);
});

test("certs without a domain, a folder or a duration is a wrong command line", async () => {
  for (const line of [
    ["init", "--output", "out"],
    ["init", "--domain", "t.example"],
    ["renew"],
    ["renew", "--output", "out", "--duration", "soon"],
    ["renew", "--output", "out", "--duration", "0"],
    ["init", "--domain", "t.example", "--output", "out", "--duration", "999999h"],
  ]) {
    using run = cli({ roles: { certs: recording().certs } });
    assert.equal(await run.raw("certs", ...line), 2, line.join(" "));
  }
});

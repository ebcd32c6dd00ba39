import assert from "node:assert/strict";
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { isError } from "../../../src/errors.ts";
import { writeSecurely } from "../../../src/hub/auth/safe-file.ts";
import { openKeyRing } from "../../../src/hub/index.ts";
import { silentLog } from "../../../src/log.ts";

const log = silentLog();

async function folder(context: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "sallyport-keys-"));
  context.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

const bearer = (text: string): { authorization: string } => ({ authorization: `Bearer ${text}` });

const refused =
  (file: string) =>
  (error: unknown): boolean =>
    isError(error, "config_invalid") && error.message.includes(file) && error.details["fix"] !== undefined;

test("a first start makes an admin key and a worker token, readable by their owner only, and keeps digests", async (t) => {
  const dir = await folder(t);
  const ring = await openKeyRing({ log }, { dir });
  const files = ["keys.json", "admin.key", "worker.token", "connector.token"];
  for (const file of files) assert.equal((await stat(join(dir, file))).mode & 0o777, 0o600, file);
  const admin = (await readFile(join(dir, "admin.key"), "utf8")).trim();
  const worker = (await readFile(join(dir, "worker.token"), "utf8")).trim();
  assert.match(admin, /^sp_[A-Za-z0-9_-]{43}$/);
  assert.deepEqual((await ring.identify(bearer(admin)))?.scopes, ["admin"]);
  assert.deepEqual((await ring.identify(bearer(worker)))?.scopes, ["worker", "connector"]);
  const kept = await readFile(join(dir, "keys.json"), "utf8");
  assert.ok(!kept.includes(admin) && !kept.includes(worker));
});

test("a second start keeps the keys", async (t) => {
  const dir = await folder(t);
  await openKeyRing({ log }, { dir });
  const admin = (await readFile(join(dir, "admin.key"), "utf8")).trim();
  const again = await openKeyRing({ log }, { dir });
  assert.equal((await again.identify(bearer(admin)))?.name, "admin");
  assert.equal(await again.identify(bearer(`${admin}x`)), undefined);
  assert.equal(await again.identify(bearer("")), undefined);
});

for (const file of ["keys.json", "admin.key", "worker.token"]) {
  test(`${file} open to other users is refused, naming it and the fix`, async (t) => {
    const dir = await folder(t);
    await openKeyRing({ log }, { dir });
    await chmod(join(dir, file), 0o640);
    await assert.rejects(openKeyRing({ log }, { dir }), refused(file));
  });
}

test("a link in place of the keys is refused", async (t) => {
  const dir = await folder(t);
  const elsewhere = join(dir, "elsewhere");
  await writeFile(elsewhere, '{"keys":[]}', { mode: 0o600 });
  await symlink(elsewhere, join(dir, "keys.json"));
  await assert.rejects(openKeyRing({ log }, { dir }), refused("keys.json"));
});

test("a folder that cannot be made is refused by name", async (t) => {
  const dir = join(await folder(t), "taken");
  await writeFile(dir, "");
  await assert.rejects(openKeyRing({ log }, { dir }), refused(dir));
});

test("a folder in place of a file, and a link in place of the folder, are refused as what they are", async (t) => {
  const dir = await folder(t);
  await mkdir(join(dir, "admin.key"), { mode: 0o700 });
  await assert.rejects(openKeyRing({ log }, { dir }), /admin\.key is not a regular file/);
  const link = join(await folder(t), "link");
  await symlink(dir, link);
  await assert.rejects(openKeyRing({ log }, { dir: link }), /link is not a folder/);
});

test(
  "a file or folder of another user is refused",
  { skip: process.getuid?.() !== 0 && "needs root" },
  async (t) => {
    const dir = await folder(t);
    await openKeyRing({ log }, { dir });
    for (const path of [join(dir, "keys.json"), dir]) {
      await chown(path, 12_345, 12_345);
      await assert.rejects(openKeyRing({ log }, { dir }), /belongs to user 12345/);
      await chown(path, 0, 0);
    }
    await openKeyRing({ log }, { dir });
  },
);

test("a folder other users can write to is refused", async (t) => {
  const dir = await folder(t);
  await chmod(dir, 0o777);
  await assert.rejects(openKeyRing({ log }, { dir }), refused(dir));
});

test("a malformed key file is refused, naming the field", async (t) => {
  const dir = await folder(t);
  await writeFile(join(dir, "keys.json"), '{"keys":[{"name":"a"}]}', { mode: 0o600 });
  await assert.rejects(
    openKeyRing({ log }, { dir }),
    (error) => isError(error, "config_invalid") && error.message.includes("keys[0].tenant"),
  );
});

test("a changed file counts at the next request, a broken one does not", async (t) => {
  const dir = await folder(t);
  const ring = await openKeyRing({ log }, { dir, recheckMs: 0 });
  const admin = (await readFile(join(dir, "admin.key"), "utf8")).trim();
  const path = join(dir, "keys.json");
  const good = await readFile(path, "utf8");
  await writeFile(path, "{");
  assert.equal((await ring.identify(bearer(admin)))?.name, "admin");
  await writeFile(path, good.replaceAll('"revokedAt": null', '"revokedAt": "2026-01-01T00:00:00Z"'));
  assert.equal(await ring.identify(bearer(admin)), undefined);
});

test("an added key works at once and after a restart; its name is taken then", async (t) => {
  const dir = await folder(t);
  const ring = await openKeyRing({ log }, { dir });
  const key = { name: "ci", tenant: "blue", weight: 2, scopes: ["jobs"] as const };
  const text = await ring.addKey(key);
  const { id, ...known } = (await ring.identify(bearer(text))) ?? { id: "" };
  assert.deepEqual(known, { ...key, scopes: ["jobs"] });
  assert.deepEqual(await (await openKeyRing({ log }, { dir })).identify(bearer(text)), { id, ...known });
  await assert.rejects(ring.addKey(key), (error) => isError(error, "request_invalid"));
});

test("an identity stands until its key is revoked, by whatever process, and again for no other key of its name", async (t) => {
  const dir = await folder(t);
  const ring = await openKeyRing({ log }, { dir, recheckMs: 0 });
  const elsewhere = await openKeyRing({ log }, { dir });
  const key = { name: "rack-7", tenant: "default", weight: 1, scopes: ["worker"] as const };
  const first = await ring.identify(bearer(await elsewhere.addKey(key)));
  assert.ok(first !== undefined);
  assert.equal(await ring.stands(first), true);
  await elsewhere.addKey({ ...key, name: "rack-7-next" });
  assert.equal(await ring.stands(first), true);
  await elsewhere.revokeKey("rack-7");
  assert.equal(await ring.stands(first), false);
  const second = await ring.identify(bearer(await elsewhere.addKey(key)));
  assert.ok(second !== undefined);
  assert.equal(await ring.stands(first), false);
  assert.equal(await ring.stands(second), true);
  await elsewhere.revokeKey("rack-7");
  assert.equal(await ring.stands(second), false);
  await assert.rejects(elsewhere.revokeKey("rack-7"), (error) => isError(error, "config_invalid"));
});

test("a key that lost a right stands no more for who came in with it", async (t) => {
  const dir = await folder(t);
  const ring = await openKeyRing({ log }, { dir, recheckMs: 0 });
  const scopes = ["worker", "connector"] as const;
  const rack = await ring.identify(
    bearer(await ring.addKey({ name: "rack", tenant: "t", weight: 1, scopes })),
  );
  assert.ok(rack !== undefined);
  assert.equal(await ring.stands(rack), true);
  const path = join(dir, "keys.json");
  const { keys } = JSON.parse(await readFile(path, "utf8")) as { keys: { name: string; scopes: string[] }[] };
  for (const key of keys) if (key.name === "rack") key.scopes = ["worker"];
  await writeFile(path, JSON.stringify({ keys }));
  assert.equal(await ring.stands(rack), false);
});

test("a key nobody could use is not added, and the file is looked at no oftener than was asked for", async (t) => {
  const dir = await folder(t);
  const ring = await openKeyRing({ log }, { dir, recheckMs: 1e9 });
  const before = await readFile(join(dir, "keys.json"), "utf8");
  const good = { name: "x", tenant: "t", weight: 1, scopes: ["jobs"] as const };
  for (const bad of [
    { ...good, name: "" },
    { ...good, weight: 1e-300 },
  ])
    await assert.rejects(ring.addKey(bad), (error) => isError(error, "config_invalid"));
  assert.equal(await readFile(join(dir, "keys.json"), "utf8"), before);
  const admin = (await readFile(join(dir, "admin.key"), "utf8")).trim();
  await writeFile(join(dir, "keys.json"), '{"keys":[]}');
  assert.equal((await ring.identify(bearer(admin)))?.name, "admin");
});

test("changes at once are all kept, whoever makes them", async (t) => {
  const dir = await folder(t);
  const [ring, other] = [await openKeyRing({ log }, { dir }), await openKeyRing({ log }, { dir })];
  const key = { tenant: "default", weight: 1, scopes: ["jobs" as const] };
  await Promise.all([
    ring.addKey({ ...key, name: "a" }),
    ring.addKey({ ...key, name: "b" }),
    other.addKey({ ...key, name: "c" }),
    other.revokeKey("worker"),
  ]);
  const standing = (await ring.listKeys()).filter(({ revokedAt }) => revokedAt === null);
  assert.deepEqual(standing.map(({ name }) => name).sort(), ["a", "admin", "b", "c", "connector"]);
});

test("a file that cannot be replaced stays as it was, with no draft beside it", async (t) => {
  const dir = await folder(t);
  await mkdir(join(dir, "keys.json"));
  await assert.rejects(writeSecurely(join(dir, "keys.json"), "secret"));
  assert.deepEqual(await readdir(dir), ["keys.json"]);
});

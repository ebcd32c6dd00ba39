/** What the store in a file does when its world goes wrong. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { open as openFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { steadyNow } from "../../src/async/index.ts";
import { isError } from "../../src/errors.ts";
import { silentLog } from "../../src/log.ts";
import { openSqliteStore, type JobRecord, type Store } from "../../src/store/index.ts";
import { attemptOutcome, leaseOne, logPart, newJob, openSession, SqliteHome } from "../helpers/store.ts";
import { assertKept, startWriter } from "./store-crash.ts";

const newHome = (): SqliteHome => new SqliteHome(mkdtempSync(join(tmpdir(), "sallyport-store-")));

test("the folder and every file in it are its owner's alone", async () => {
  await using home = newHome();
  const dir = join(home.dir, "made", "deep");
  await using inner = new SqliteHome(dir);
  const store = await inner.open();
  await store.jobs.submit(newJob("j1"));
  assert.equal(statSync(dir).mode & 0o777, 0o700);
  const files = readdirSync(dir);
  assert.ok(files.includes("store.db-wal") && files.includes("store.db-shm"), files.join(" "));
  for (const file of files) assert.equal(statSync(join(dir, file)).mode & 0o777, 0o600, file);
});

test("a folder in use is refused with the holder's pid, within one process", async () => {
  await using home = newHome();
  await home.open();
  await using second = new SqliteHome(home.dir);
  await assert.rejects(second.open(), (error) => isInUse(error, process.pid));
});

test("a folder in use is refused across processes, and taken over once its holder was killed", async () => {
  await using home = newHome();
  const holder = await startWriter(home.dir, "holder");
  await assert.rejects(home.open(), (error) => isInUse(error, holder.pid));
  await holder.kill();
  await (await home.open()).check();
});

test("what was acknowledged is there after every one of 20 kills", async (t) => {
  await using home = newHome();
  let acknowledged = 0;
  for (let life = 0; life < 20; life++) {
    const writer = await startWriter(home.dir, `l${life}`);
    const lines = await writer.kill({ afterLines: 5 + ((life * 37) % 60) });
    const store = await home.open();
    for (const line of lines) await assertKept(store, line.split(" "));
    acknowledged += lines.length;
    await home.close();
  }
  t.diagnostic(`${acknowledged} acknowledged operations`);
});

test("a file that is no database, or one of another program, is called corrupt and left as it is", async () => {
  await using home = newHome();
  const path = join(home.dir, "store.db");
  writeFileSync(path, "certainly no database ".repeat(400));
  const { size } = statSync(path);
  await assert.rejects(home.open(), { code: "store_corrupt" });
  assert.equal(statSync(path).size, size);
  rmSync(path);
  const other = new DatabaseSync(path);
  other.exec("CREATE TABLE theirs (a); PRAGMA user_version = 1");
  other.close();
  await assert.rejects(home.open(), { code: "store_corrupt" });
});

test("pages gone bad under a job make its reading fail as corrupt, not wrong", async () => {
  await using home = newHome();
  const store = await home.open();
  const { id } = await openSession(store);
  const { lease } = await leaseOne(store, id, newJob("j1"));
  for (let i = 0, from = 0; i < 40; i++) {
    from = Number(await store.log.append(lease, { from, ...logPart(["stdout", Buffer.alloc(50_000, i)]) }));
  }
  await home.close();
  const path = join(home.dir, "store.db");
  const file = await openFile(path, "r+");
  const { size } = statSync(path);
  for (let at = 4_096 * 3; at < size; at += 4_096) await file.write(Buffer.alloc(100, 0xff), 0, 100, at);
  await file.close();
  await assert.rejects(
    async () => {
      const again = await home.open();
      await again.jobs.get("j1");
      await again.log.read("j1", 1, 0, 2 ** 30);
    },
    { code: "store_corrupt" },
  );
});

test("a file of a later build is refused, with both versions, and left as it is", async () => {
  await using home = newHome();
  await home.open();
  await home.close();
  const later = new DatabaseSync(join(home.dir, "store.db"));
  later.exec("PRAGMA user_version = 99");
  later.close();
  await assert.rejects(home.open(), (error) => {
    assert.ok(isError(error, "store_unavailable"));
    assert.deepEqual([error.details["schema"], error.details["known"]], [99, 4]);
    return true;
  });
});

test("however the clock was set while the store was closed, a session goes on for one lease from its opening", async () => {
  for (const leaseUntil of [1, steadyNow() + 86_400_000]) {
    await using home = newHome();
    const before = await home.open();
    const { id } = await openSession(before, { leaseUntil });
    const { lease } = await leaseOne(before, id, newJob("j1"));
    const openedAt = steadyNow();
    const store = await home.open({ leaseMs: 5_000 });
    assert.deepEqual(await store.leases.expire(openedAt + 4_999), []);
    assert.equal((await store.jobs.get(lease.lease))?.state, "leased");
    assert.deepEqual(await store.leases.expire(steadyNow() + 5_000), [{ jobId: "j1", requeued: false }]);
  }
});

test("a folder that cannot be one is named", async () => {
  await using home = newHome();
  writeFileSync(join(home.dir, "file"), "");
  const wrong = openSqliteStore({ log: silentLog() }, { dir: join(home.dir, "file", "state") });
  await assert.rejects(wrong, { code: "store_unavailable", message: /file/ });
});

test("a store whose writer breaks down fails what waits and everything after, and says it is not well", async () => {
  await using home = newHome();
  const store = await home.open();
  const waiting = Promise.allSettled(
    Array.from({ length: 50 }, (_, i) => store.jobs.submit(newJob(`j${i}`, { inputs: new Uint8Array(1e6) }))),
  );
  await new Promise((resolve) => setImmediate(resolve));
  await home.crash();
  const results = await waiting;
  const failed = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
  assert.ok(failed.length > 0);
  assert.ok(failed.every((reason) => isError(reason, "store_unavailable")));
  await assert.rejects(store.check(), { code: "store_unavailable" });
  const again = await home.open();
  const kept = await Promise.all(
    results.map(
      async (result, i) => result.status === "rejected" || (await again.jobs.get(`j${i}`)) !== null,
    ),
  );
  assert.ok(kept.every(Boolean), "what was acknowledged is there");
});

test("pruning gives the space back to the file system", async () => {
  await using home = newHome();
  const store = await home.open();
  await fill(store, 8 * 2 ** 20);
  const size = async (): Promise<number> => {
    await home.close();
    const bytes = statSync(join(home.dir, "store.db")).size;
    await home.open();
    return bytes;
  };
  const before = await size();
  assert.ok(before > 8 * 2 ** 20);
  assert.equal(await (await home.open()).prune(1e9), 1);
  const after = await size();
  assert.ok(after < 2 ** 20, `${before} → ${after}`);
});

test("a store at its size limit refuses what does not fit and nothing else, and goes on once there is room", async () => {
  await using home = newHome();
  await survivesFullDisk(await home.open({ maxBytes: 6 * 2 ** 20 }), (store) => store.prune(1e9));
});

test("a full disk is told as such, nothing is acknowledged that is not kept, and it goes on once there is room", async (t) => {
  await using home = newHome();
  const disk = mountSmallDisk(home.dir);
  if (disk === null) return t.skip("no loop device or mount for a small disk (needs root)");
  using _ = disk;
  const ballast = join(disk.dir, "ballast");
  writeFileSync(ballast, Buffer.alloc(8 * 2 ** 20));
  await using inside = new SqliteHome(join(disk.dir, "state"));
  await survivesFullDisk(await inside.open(), async () => truncateSync(ballast, 0));
});

/** Fills the store until it refuses; then gives it room by `makeRoom`. */
async function survivesFullDisk(store: Store, makeRoom: (store: Store) => Promise<unknown>): Promise<void> {
  const { id } = await openSession(store);
  const done = await leaseOne(store, id, newJob("done"));
  await store.log.append(done.lease, { from: 0, ...logPart(["stdout", Buffer.alloc(2 ** 20, 1)]) });
  await store.leases.finish(done.lease, attemptOutcome(), 10);
  const { lease } = await leaseOne(store, id, newJob("full"));
  const part = logPart(["stdout", Buffer.alloc(200_000, 7)]);
  let end = 0;
  const refused = await untilRefused(async () => {
    end = Number(await store.log.append(lease, { from: end, ...part }));
  });
  assert.ok(isError(refused, "store_full"), String(refused));
  assert.equal(refused.retryable, true);
  assert.deepEqual(await store.log.end("full", 1), {
    logEnd: end,
    stdout: (end / part.bytes.length) * 200_000,
    stderr: 0,
  });
  await assertOnlyTheLargeFail(store, { lease, from: end, part });
  const notWell = await untilRefused(async (turn) => {
    await store.check();
    await store.jobs.submit(newJob(`filler${turn}`, { inputs: new Uint8Array(2_000) })).catch(ignoreFull);
  });
  assert.ok(isError(notWell, "store_full"), String(notWell));
  await makeRoom(store);
  await store.check();
  assert.equal(await store.log.append(lease, { from: end, ...part }), end + part.bytes.length);
  const [chunk] = await store.log.read("full", 1, end, 1);
  assert.ok(Buffer.from(chunk?.bytes ?? []).equals(part.bytes));
}

/** Small operations in the same batch as one that does not fit are done. */
async function assertOnlyTheLargeFail(
  store: Store,
  {
    lease,
    from,
    part,
  }: { lease: Parameters<Store["log"]["append"]>[0]; from: number; part: ReturnType<typeof logPart> },
): Promise<void> {
  const [renewed, large, cancelled] = await Promise.allSettled([
    store.leases.started(lease, 5),
    store.log.append(lease, { from, ...part }),
    store.jobs.cancel("full", 9),
  ]);
  assert.deepEqual([renewed.status, large.status, cancelled.status], ["fulfilled", "rejected", "fulfilled"]);
  const job: JobRecord | null = await store.jobs.get("full");
  assert.deepEqual([job?.state, job?.cancelRequested], ["running", true]);
}

async function untilRefused(attempt: (turn: number) => Promise<unknown>): Promise<unknown> {
  for (let turn = 0; turn < 2_000; turn++) {
    try {
      await attempt(turn);
    } catch (error) {
      return error;
    }
  }
  return null;
}

function ignoreFull(error: unknown): void {
  if (!isError(error, "store_full")) throw error;
}

async function fill(store: Store, bytes: number): Promise<void> {
  const { id } = await openSession(store);
  const { lease } = await leaseOne(store, id, newJob("big"));
  const part = logPart(["stdout", Buffer.alloc(500_000, 1)]);
  for (let end = 0; end < bytes;) end = Number(await store.log.append(lease, { from: end, ...part }));
  await store.leases.finish(lease, attemptOutcome(), 10);
}

interface SmallDisk extends Disposable {
  dir: string;
}

/** 16 MiB of ext4 in a file; null where that cannot be mounted. */
function mountSmallDisk(base: string): SmallDisk | null {
  const image = join(base, "disk.img");
  const dir = join(base, "disk");
  mkdirSync(dir);
  writeFileSync(image, "");
  truncateSync(image, 16 * 2 ** 20);
  try {
    execFileSync("mkfs.ext4", ["-q", "-m", "0", "-O", "^has_journal", image], { stdio: "ignore" });
    execFileSync("mount", ["-o", "loop", image, dir], { stdio: "ignore" });
  } catch {
    return null;
  }
  chmodSync(dir, 0o700);
  return { dir, [Symbol.dispose]: () => execFileSync("umount", ["-l", dir]) };
}

function isInUse(error: unknown, pid: number): boolean {
  assert.ok(isError(error, "state_in_use"), String(error));
  assert.equal(error.details["pid"], pid);
  assert.match(error.message, new RegExp(`\\b${pid}\\b`));
  return true;
}

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { SallyportError } from "../../../src/errors.ts";
import { Db } from "../../../src/store/sqlite/database.ts";
import { commitTogether } from "../../../src/store/sqlite/group-commit.ts";
import { migrate } from "../../../src/store/sqlite/migrations.ts";
import { list } from "../../../src/store/sqlite/reads/jobs.ts";
import type { Call, Reply } from "../../../src/store/sqlite/rpc.ts";

interface Scratch extends Disposable {
  db: Db;
  rows(): number[];
}

function scratch(maxBytes = 2 ** 40): Scratch {
  const dir = mkdtempSync(join(tmpdir(), "sallyport-db-"));
  const db = Db.writer(join(dir, "x.db"), { maxBytes });
  db.exec("CREATE TABLE t (n INTEGER PRIMARY KEY, bytes BLOB)");
  return {
    db,
    rows: () => db.all<{ n: number }>("SELECT n FROM t ORDER BY n").map(({ n }) => n),
    [Symbol.dispose]: () => {
      db[Symbol.dispose]();
      rmSync(dir, { recursive: true });
    },
  };
}

const operations = {
  put: (db: Db, { n, size = 1 }: { n: number; size?: number }) =>
    db.run("INSERT INTO t (n, bytes) VALUES (?, zeroblob(?))", n, size),
  putAndFail: (db: Db, { n }: { n: number }) => {
    db.run("INSERT INTO t (n) VALUES (?)", n);
    throw new SallyportError("queue_full", "no");
  },
  blunder: () => {
    throw new TypeError("unforeseen");
  },
};
const call = (op: string, n = 0, size = 1): Call => ({ id: n, op, args: { n, size } });
const codes = (replies: Reply[]): string[] =>
  replies.map((reply) => ("error" in reply ? reply.error.code : "ok"));

test("what a failing call wrote is undone, what its neighbours wrote is kept", () => {
  using store = scratch();
  const replies = commitTogether(store.db, operations, [
    call("put", 1),
    call("putAndFail", 2),
    call("put", 3),
    call("put", 3),
    call("blunder", 4),
    call("nonsense", 5),
    call("put", 6),
  ]);
  assert.deepEqual(codes(replies), ["ok", "queue_full", "ok", "internal", "internal", "internal", "ok"]);
  assert.deepEqual(store.rows(), [1, 3, 6]);
  assert.deepEqual(
    replies.map(({ id }) => id),
    [1, 2, 3, 3, 4, 5, 6],
  );
});

test("a full disk fails the calls that do not fit and no others", () => {
  using store = scratch(40 * 4_096);
  const replies = commitTogether(store.db, operations, [
    call("put", 1),
    call("put", 2, 10 ** 6),
    call("put", 3),
    call("put", 4, 10 ** 6),
    call("put", 5),
  ]);
  assert.deepEqual(codes(replies), ["ok", "store_full", "ok", "store_full", "ok"]);
  assert.deepEqual(store.rows(), [1, 3, 5]);
  assert.equal(store.db.inTransaction, false);
});

test("a commit is on disk before anybody hears of it", () => {
  using store = scratch();
  assert.equal(store.db.pragma("synchronous"), 2, "FULL: the log is synced at every commit");
  assert.deepEqual(
    store.db.get("PRAGMA journal_mode"),
    Object.assign(Object.create(null), { journal_mode: "wal" }),
  );
});

test("the schema is made once, and a migration that fails leaves nothing behind", () => {
  using store = scratch();
  store.db.exec("CREATE TABLE profiles (in_the_way)");
  assert.throws(() => migrate(store.db));
  const tables = store.db.all<{ name: string }>("SELECT name FROM sqlite_schema WHERE type = 'table'");
  assert.deepEqual(tables.map(({ name }) => name).sort(), ["profiles", "t"]);
  assert.equal(store.db.pragma("user_version"), 0);
  store.db.exec("DROP TABLE profiles");
  migrate(store.db);
  migrate(store.db);
  assert.equal(store.db.pragma("user_version"), 4);
});

/** The statements `act` reads with, its values as they stand for themselves. */
function watched(db: Db, act: (db: Db) => unknown): string[] {
  const seen: string[] = [];
  const all: Db["all"] = (sql, ...params) => {
    const values = params.map((value) => JSON.stringify(value).replaceAll('"', "'"));
    seen.push(sql.replaceAll("?", () => values.shift() ?? ""));
    return db.all(sql, ...params);
  };
  act({ all } as Db);
  return seen;
}

test("the queries of the hot path go through their indexes", () => {
  using store = scratch();
  migrate(store.db);
  const plan = (sql: string): string =>
    store.db
      .all<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`)
      .map(({ detail }) => detail)
      .join("\n");
  const turn = plan(
    "SELECT seq, tenant, vft FROM jobs WHERE pool = 'p' AND state = 'queued' ORDER BY vft, tenant LIMIT 1",
  );
  assert.match(turn, /jobs_turns/);
  assert.doesNotMatch(turn, /TEMP B-TREE|SCAN/);
  const urgent = plan(
    `SELECT seq, spec FROM jobs JOIN specs ON specs.job = jobs.seq
      WHERE pool = 'p' AND tenant = 't' AND state = 'queued' ORDER BY priority DESC, seq LIMIT 1`,
  );
  assert.match(urgent, /jobs_urgent/);
  assert.doesNotMatch(urgent, /TEMP B-TREE|SCAN/);
  const locate = plan(
    `SELECT bytes FROM log WHERE job = (SELECT seq FROM jobs WHERE id = 'x') AND attempt = 1 AND stdout > 0
        AND stdout_before <= 5 ORDER BY stdout_before DESC LIMIT 1`,
  );
  assert.match(locate, /log_by_stdout/);
  assert.doesNotMatch(locate, /TEMP B-TREE|SCAN/);
  const listed = plan(
    "SELECT seq FROM jobs JOIN specs ON specs.job = jobs.seq WHERE state = 'failed' AND seq < 9 ORDER BY seq DESC LIMIT 5",
  );
  assert.doesNotMatch(listed, /TEMP B-TREE/);
  const tenants = watched(store.db, (db) =>
    list(db, { tenant: "t", states: ["failed", "running"], profile: null, before: 9, limit: 5 }),
  ).map(plan);
  assert.match(tenants[0] ?? "", /jobs_ended \(tenant=\? AND state=\? AND rowid<\?\)/);
  for (const each of tenants) assert.doesNotMatch(each, /TEMP B-TREE|SCAN (?!json_each)/);
  assert.match(plan("SELECT min(created_at) FROM jobs WHERE pool = 'p' AND state = 'queued'"), /jobs_oldest/);
  assert.match(plan("SELECT seq FROM jobs WHERE session = 'x' ORDER BY seq"), /jobs_held/);
  assert.match(
    plan("SELECT seq FROM jobs WHERE finished_at < 5 ORDER BY finished_at LIMIT 5"),
    /jobs_finished/,
  );
});

import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { steadyNow } from "../../../src/async/index.ts";
import { defaultIntervals } from "../../../src/protocol/index.ts";
import { SallyportError, type ErrorCode } from "../../../src/errors.ts";
import { DatabaseClock } from "../../../src/store/postgres/clock.ts";
import { isContention, isLoss, storeError } from "../../../src/store/postgres/errors.ts";
import { lateMs } from "../../../src/store/postgres/connection.ts";
import { writeMs } from "../../../src/store/postgres/open.ts";
import { parseHint, payloadsOf } from "../../../src/store/postgres/hint-text.ts";

test("a connection that nobody answers on is given up before workers give up their hub", () => {
  assert.ok(writeMs + lateMs < defaultIntervals.suspectMs);
});

const told = (sqlstate: string): Error => Object.assign(new Error("said so"), { code: sqlstate });

test("what PostgreSQL says went wrong is told in our codes", () => {
  const expected: [string, ErrorCode][] = [
    ["08006", "store_unavailable"],
    ["22021", "request_invalid"],
    ["25006", "store_unavailable"],
    ["28P01", "store_unavailable"],
    ["3D000", "store_unavailable"],
    ["40P01", "store_unavailable"],
    ["42601", "internal"],
    ["53100", "store_full"],
    ["53300", "store_unavailable"],
    ["54000", "request_invalid"],
    ["57014", "store_unavailable"],
    ["57P01", "store_unavailable"],
    ["58030", "store_unavailable"],
    ["58P01", "store_corrupt"],
    ["XX000", "internal"],
    ["XX001", "store_corrupt"],
  ];
  for (const [sqlstate, code] of expected) assert.equal(storeError(told(sqlstate)).code, code, sqlstate);
  const ended = Object.assign(told("XX000"), { severity: "FATAL" });
  assert.equal(storeError(ended).code, "store_unavailable", "could not write init file, say");
  for (const errno of ["ECONNREFUSED", "EPIPE"])
    assert.equal(storeError(told(errno)).code, "store_unavailable", errno);
  assert.equal(storeError(new TypeError("ours")).code, "internal");
  const own = new SallyportError("queue_full", "full");
  assert.equal(storeError(own), own);
});

test("a lost race is told from a lost connection, and both from a refusal", () => {
  const kinds = (sqlstate: string): boolean[] => [isContention(told(sqlstate)), isLoss(told(sqlstate))];
  assert.deepEqual(kinds("40P01"), [true, false]);
  assert.deepEqual(kinds("23505"), [true, false]);
  assert.deepEqual(kinds("57P01"), [false, true]);
  assert.deepEqual(kinds("08006"), [false, true]);
  assert.deepEqual(kinds("57014"), [false, false]);
  assert.deepEqual(kinds("53100"), [false, false]);
});

test("a clock close to the database's counts as it, one that is off is corrected both ways", () => {
  const clock = new DatabaseClock();
  clock.observe(steadyNow() + 100, steadyNow());
  assert.equal(clock.toDatabase(20_000), 20_000);
  const hour = 3_600_000;
  clock.observe(steadyNow() + hour, steadyNow());
  assert.ok(Math.abs(clock.toDatabase(0) - hour) < 300);
  assert.equal(clock.fromDatabase(clock.toDatabase(12_345)), 12_345);
  clock.observe(steadyNow(), steadyNow());
  assert.equal(clock.toDatabase(20_000), 20_000);
});

test("an answer that was long on its way says little about the clock, and changes nothing", () => {
  const clock = new DatabaseClock();
  clock.observe(steadyNow() - 9_000, steadyNow() - 10_000);
  assert.equal(clock.toDatabase(0), 0);
});

test("hints travel whole in payloads a notification may have, and nobody hears his own", () => {
  const id = fc.string({ minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(fc.uniqueArray(id, { maxLength: 400 }), fc.boolean(), (ids, queued) => {
      const lease = { lease: "j", attempt: 1, epoch: 2 };
      const held = { lease, jobId: "j", sessionId: "s", workerId: "w" };
      const payloads = payloadsOf("me", { jobs: new Set(ids), queued, cancels: [held] });
      assert.ok(payloads.every((payload) => Buffer.byteLength(payload) < 8_000));
      const heard = payloads.flatMap((payload) => parseHint(payload, "you"));
      assert.deepEqual(
        heard.flatMap((hint) => (hint.kind === "jobs" ? hint.ids : [])),
        ids,
      );
      assert.equal(
        heard.some(({ kind }) => kind === "queued"),
        queued,
      );
      assert.deepEqual(
        heard.find(({ kind }) => kind === "cancel"),
        { kind: "cancel", held },
      );
      assert.deepEqual(
        payloads.flatMap((payload) => parseHint(payload, "me")),
        [],
      );
    }),
  );
});

test("what is no hint is passed over", () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => void parseHint(text, "me")));
  assert.deepEqual(parseHint('{"from":"x","jobs":[1]}', "me"), []);
});

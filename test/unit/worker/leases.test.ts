import assert from "node:assert/strict";
import { test } from "node:test";
import { isError } from "../../../src/errors.ts";
import { silentLog } from "../../../src/log.ts";
import type { LeaseRef } from "../../../src/protocol/index.ts";
import { Lease, LeaseTable, type LeaseOffer } from "../../../src/worker/leases.ts";

const ref: LeaseRef = { lease: "lease", attempt: 1, epoch: 1 };
const never = new AbortController().signal;

function leaseOf(over: Partial<LeaseRef> = {}): Lease {
  const spec = { files: [], stdin: { mode: "stream" } } as unknown as LeaseOffer["spec"];
  const offer = { ref: { ...ref, ...over }, spec, profile: {} as LeaseOffer["profile"] };
  const spool = { memoryBytes: 100, totalBytes: 100, directory: "/nowhere" };
  return new Lease(offer, { log: silentLog() }, { spool, inputsMs: 1_000 });
}

test("a lease ends once: the first end wins, what runs of it is killed, and nobody waits for its input", async () => {
  const lease = leaseOf();
  const read = lease.stdin.bytes(never).next();
  assert.equal(lease.finish("recorded"), true);
  assert.equal(lease.finish("killed"), false);
  assert.equal(lease.end, "recorded");
  assert.deepEqual(
    [lease.stop.hard, lease.stop.dropped, lease.ended].map(({ aborted }) => aborted),
    [true, true, true],
  );
  await assert.rejects(read, (error) => isError(error, "lease_superseded"));
});

const names = (table: LeaseTable): number[] => table.introduced().map(({ epoch }) => epoch);

test("what was abandoned after it was confirmed is told until a hub has judged exactly that grant", () => {
  const table = new LeaseTable();
  const unheard = leaseOf({ lease: "unheard" });
  table.add(unheard);
  table.abandon(unheard);
  assert.deepEqual(names(table), []);
  const lease = leaseOf();
  table.add(lease);
  lease.confirm();
  table.abandon(lease);
  assert.deepEqual([table.size, table.named, names(table)], [0, 1, [1]]);
  table.greeted([{ ...lease.held, epoch: 2 }]);
  assert.deepEqual(names(table), [1]);
  table.greeted([lease.held]);
  assert.deepEqual(names(table), []);
});

test("a grant anew takes the place of what was abandoned, and of the grant before", () => {
  const table = new LeaseTable();
  const [old, anew] = [leaseOf(), leaseOf({ epoch: 2 })];
  table.add(old);
  old.confirm();
  table.abandon(old);
  table.add(anew);
  assert.deepEqual(names(table), [2]);
  table.finish(old, "killed");
  assert.equal(table.find(anew.ref), anew);
  assert.equal(table.find(old.ref), undefined);
});

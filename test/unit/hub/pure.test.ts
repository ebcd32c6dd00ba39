import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { isError } from "../../../src/errors.ts";
import { parseRange } from "../../../src/hub/api/range.ts";
import { checkNames } from "../../../src/hub/auth/origin.ts";
import { checkLegal, mayEnter } from "../../../src/hub/connections/phase.ts";
import { isJobId, jobIdTime, newJobId } from "../../../src/hub/job-id.ts";
import { formatEventId, parseEventId } from "../../../src/hub/live/event-id.ts";

test("a job id tells when it was made and sorts by it", () => {
  fc.assert(
    fc.property(fc.nat(2 ** 44), fc.nat(2 ** 44), (a, b) => {
      const first = newJobId(a);
      assert.ok(isJobId(first));
      assert.equal(jobIdTime(first), a);
      if (a < b) assert.ok(first < newJobId(b));
    }),
  );
});

test("an event id comes back as it was written, and nothing else is one", () => {
  fc.assert(
    fc.property(
      fc.record({
        attempt: fc.nat(1_000),
        epoch: fc.nat(1_000),
        position: fc.nat(2 ** 40),
        ended: fc.boolean(),
      }),
      (place) => assert.deepEqual(parseEventId(formatEventId(place)), { ...place }),
    ),
  );
  for (const text of ["", "1", "1:", "1:2", "-1.0:0", "1.1:2:fin", "1.1:2\n", "x.y:z"]) {
    assert.throws(
      () => parseEventId(text),
      (error) => isError(error, "request_invalid"),
      text,
    );
  }
});

test("ranges are read as RFC 9110 has them", () => {
  assert.deepEqual(parseRange("bytes=0-4", 10), { from: 0, to: 5 });
  assert.deepEqual(parseRange("bytes=7-", 10), { from: 7, to: 10 });
  assert.deepEqual(parseRange("bytes=-3", 10), { from: 7, to: 10 });
  assert.deepEqual(parseRange("bytes=-30", 10), { from: 0, to: 10 });
  assert.deepEqual(parseRange("bytes=5-99", 10), { from: 5, to: 10 });
  for (const ignored of [undefined, "lines=0-1", "bytes=0-1,3-4", "bytes=-", "bytes=5-4"]) {
    assert.equal(parseRange(ignored, 10), undefined, ignored);
  }
  for (const outside of ["bytes=10-", "bytes=99-100", "bytes=-0"]) {
    assert.throws(
      () => parseRange(outside, 10),
      (error) => isError(error, "range_invalid"),
      outside,
    );
  }
});

const loopback = { boundHost: "127.0.0.1", publicHosts: ["hub.example"] };
const open = { boundHost: "10.0.0.5", publicHosts: [] };

test("a hub answers to its own names only", () => {
  for (const host of ["127.0.0.1:80", "localhost", "LOCALHOST:9", "[::1]:9", "hub.example"]) {
    checkNames({ host, origin: undefined }, loopback);
  }
  checkNames({ host: "10.0.0.5:8080", origin: undefined }, open);
  for (const [host, own] of [
    ["evil", loopback],
    [undefined, loopback],
    ["", loopback],
    ["localhost@evil", loopback],
    ["127.0.0.1:80:80", loopback],
    ["localhost", open],
  ] as const) {
    assert.throws(
      () => checkNames({ host, origin: undefined }, own),
      (error) => isError(error, "origin_denied"),
      host,
    );
  }
});

test("a page may call the hub it came from, no other", () => {
  checkNames({ host: "127.0.0.1:80", origin: undefined }, loopback);
  checkNames({ host: "127.0.0.1:8080", origin: "http://127.0.0.1:8080" }, loopback);
  for (const origin of ["https://evil", "null", "http://localhost:8080", "http://127.0.0.1:9"]) {
    assert.throws(
      () => checkNames({ host: "127.0.0.1:8080", origin }, loopback),
      (error) => isError(error, "origin_denied"),
      origin,
    );
  }
});

test("a worker speaks of leases only once it is welcomed, and says hello once", () => {
  checkLegal("hello", "new");
  checkLegal("lease.exit", "draining");
  assert.ok(mayEnter("ready", "draining") && !mayEnter("draining", "ready") && !mayEnter("closed", "new"));
  for (const [type, phase] of [
    ["heartbeat", "new"],
    ["offer.accept", "handshaking"],
    ["hello", "ready"],
    ["heartbeat", "closed"],
  ] as const) {
    assert.throws(
      () => checkLegal(type, phase),
      (error) => isError(error, "protocol_violation"),
    );
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { isError } from "../../src/errors.ts";
import { formatDuration, formatSize, parseDuration, parseSize } from "../../src/units.ts";

test("durations and sizes are read with their units", () => {
  assert.equal(parseDuration("500ms", "t"), 500);
  assert.equal(parseDuration("1.5s", "t"), 1_500);
  assert.equal(parseDuration("10 m", "t"), 600_000);
  assert.equal(parseSize("512MiB", "m"), 536_870_912);
  assert.equal(parseSize("1kB", "m"), 1_000);
});

for (const text of ["", "0s", "-1s", "1", "64mb", "1e3s", "9999999999999999h", "Infinitys", " 1s", "1s "]) {
  test(`${JSON.stringify(text)} is refused, naming the field`, () => {
    assert.throws(
      () => parseDuration(text, "timeout"),
      (error) => isError(error, "request_invalid") && error.details["field"] === "timeout",
    );
    assert.throws(
      () => parseSize(text, "memory"),
      (error) => isError(error, "request_invalid") && error.details["field"] === "memory",
    );
  });
}

test("any text is a positive whole number or one coded error", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        const value = parseSize(text, "f");
        assert.ok(Number.isSafeInteger(value) && value > 0);
      } catch (error) {
        assert.ok(isError(error, "request_invalid"));
      }
    }),
  );
});

test("quantities are told to people in the largest fitting unit", () => {
  assert.equal(formatDuration(12), "12ms");
  assert.equal(formatDuration(90_000), "1.5m");
  assert.equal(formatSize(536_870_912), "512MiB");
  assert.equal(formatSize(100), "100B");
});

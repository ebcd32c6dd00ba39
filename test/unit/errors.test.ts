import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { errorClasses, errorCodes, isError, SallyportError, type ErrorCode } from "../../src/errors.ts";

const codes = Object.keys(errorCodes) as ErrorCode[];

test("every code has a class and an HTTP status that is an error", () => {
  for (const code of codes) {
    const error = new SallyportError(code, "x");
    assert.ok(errorClasses.includes(error.class), code);
    assert.ok(error.status >= 400 && error.status < 600, code);
  }
});

test("an error survives the wire without its stack and cause", () => {
  const sent = new SallyportError("profile_unknown", "no such profile", {
    details: { field: "profile" },
    cause: new Error("secret"),
  });
  const wire = JSON.parse(JSON.stringify(sent.toWire()));
  assert.deepEqual(Object.keys(wire).sort(), ["code", "details", "message"]);
  const got = SallyportError.fromWire(wire);
  assert.ok(isError(got, "profile_unknown"));
  assert.deepEqual(got.details, { field: "profile" });
});

test("a code this version does not know becomes internal and is not retried", () => {
  const got = SallyportError.fromWire({ code: "constructor", message: "m" });
  assert.equal(got.code, "internal");
  assert.equal(got.retryable, false);
  assert.equal(got.details["unknownCode"], "constructor");
});

test("docs/errors.md lists exactly the registered codes with class, status and retryability", () => {
  const rows = [
    ...readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8").matchAll(
      /^\| *`(\w+)` *\| *(\w+) *\| *(\d+) *\| *(yes|no) *\|/gm,
    ),
  ];
  const documented = Object.fromEntries(rows.map((row) => [row[1], `${row[2]} ${row[3]} ${row[4]}`]));
  const registered = Object.fromEntries(
    codes.map((code) => {
      const error = new SallyportError(code, "x");
      return [code, `${error.class} ${error.status} ${error.retryable ? "yes" : "no"}`];
    }),
  );
  assert.deepEqual(documented, registered);
});

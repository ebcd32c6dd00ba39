import assert from "node:assert/strict";
import { isIP } from "node:net";
import { test } from "node:test";
import * as fc from "fast-check";
import { isError } from "../../../../src/errors.ts";
import { createGuard, privateRanges, type UpstreamGuard } from "../../../../src/tunnel/index.ts";

const never = new AbortController().signal;

/** A guard over a name service that gives these answers. */
function guard(answers: readonly string[], allowedIps: readonly string[] = privateRanges): UpstreamGuard {
  return createGuard({ allowedIps, disableIpValidation: false }, async () => answers);
}

const check = (of: UpstreamGuard, host = "docs.internal"): Promise<readonly string[]> =>
  of.check(host, never);

async function refused(of: UpstreamGuard, address: string, host = "docs.internal"): Promise<void> {
  await assert.rejects(check(of, host), (error) => {
    assert.ok(isError(error, "upstream_address_denied"), `${address}: ${String(error)}`);
    assert.equal(error.message, `IP validation failed: ${address} is not a private address`);
    assert.equal(error.details["layer"], "ip");
    return true;
  });
}

const outside = [
  "127.0.0.1",
  "127.1.2.3",
  "0.0.0.0",
  "0.1.2.3",
  "8.8.8.8",
  "100.64.0.1",
  "169.254.169.254",
  "172.15.255.255",
  "172.32.0.0",
  "192.0.0.1",
  "192.167.255.255",
  "192.169.0.0",
  "198.18.0.1",
  "198.19.255.255",
  "224.0.0.1",
  "255.255.255.255",
  "11.0.0.0",
  "9.255.255.255",
  "::",
  "::1",
  "::ffff:7f00:1",
  "::ffff:127.0.0.1",
  "::ffff:a9fe:a9fe",
  "::ffff:8.8.8.8",
  "fc00::1",
  "fd00::1",
  "fe80::1",
  "fe80::1%eth0",
  "ff02::1",
  "2001:db8::1",
  "2606:4700::1",
  // transition addresses that carry a private or a loopback IPv4 address
  "64:ff9b::a00:1",
  "64:ff9b::7f00:1",
  "64:ff9b:1::a00:1",
  "::ffff:0:a00:1",
  "::a00:1",
  "2002:a00:1::1",
  "2001:0:0:0:0:0:f5ff:fffe",
];

test("an answer outside the private ranges is refused, in every form", async () => {
  for (const address of outside) await refused(guard([address]), address);
});

test("an upstream written as an address is judged like an answer", async () => {
  for (const address of outside) await refused(guard([]), address, address);
  assert.deepEqual(await check(guard([]), "10.1.2.3"), ["10.1.2.3"]);
});

test("what is no address in its usual spelling is refused as an answer", async () => {
  for (const text of [
    "127.1",
    "2130706433",
    "0x7f.1",
    "017700000001",
    "010.0.0.1",
    "10.0.0.1 ",
    "①②⑦.0.0.1",
    "",
  ]) {
    await refused(guard([text]), text);
  }
});

test("a private answer is what is dialled, and a mapped one as the IPv4 address it is", async () => {
  const answers = [
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.255.255",
    "::ffff:10.0.0.2",
    "::ffff:a00:3",
  ];
  const expected = ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.255.255", "10.0.0.2", "10.0.0.3"];
  assert.deepEqual(await check(guard(answers)), expected);
});

test("one answer that is not allowed among many refuses them all", async () => {
  const good = Array.from({ length: 40 }, (_, index) => `10.0.0.${index + 1}`);
  for (const at of [0, 20, 40]) await refused(guard(good.toSpliced(at, 0, "8.8.8.8")), "8.8.8.8");
  assert.equal((await check(guard(good))).length, 40);
});

test("listed ranges replace the default, loopback among them only where it is listed", async () => {
  assert.deepEqual(await check(guard(["127.0.0.1"], ["127.0.0.0/8"])), ["127.0.0.1"]);
  assert.deepEqual(await check(guard(["::1"], ["::1"])), ["::1"]);
  assert.deepEqual(await check(guard(["fd00::5"], ["fd00::/8"])), ["fd00::5"]);
  assert.deepEqual(await check(guard(["10.0.0.7"], ["::ffff:10.0.0.0/104"])), ["10.0.0.7"]);
  assert.deepEqual(await check(guard(["8.8.8.8"], ["::ffff:0:0/96"])), ["8.8.8.8"]);
  await refused(guard(["10.0.0.1"], ["127.0.0.0/8"]), "10.0.0.1");
  await refused(guard(["127.0.0.2"], ["127.0.0.1"]), "127.0.0.2");
  await refused(guard(["::1"], ["127.0.0.0/8"]), "::1");
});

test("an address that carries an IPv4 address must be allowed in both forms", async () => {
  const nat64 = "64:ff9b::/96";
  assert.deepEqual(await check(guard(["64:ff9b::a00:1"], [nat64, "10.0.0.0/8"])), ["64:ff9b::a00:1"]);
  await refused(guard(["64:ff9b::a00:1"], [nat64]), "64:ff9b::a00:1");
  await refused(guard(["64:ff9b::7f00:1"], [nat64, "10.0.0.0/8"]), "64:ff9b::7f00:1");
  const teredo = ["2001::/32", "10.0.0.0/8"];
  assert.deepEqual(await check(guard(["2001::f5ff:fffe"], teredo)), ["2001::f5ff:fffe"]);
  await refused(guard(["2001::a00:1"], teredo), "2001::a00:1");
  await refused(guard(["2002:7f00:1::1"], ["::/0", "10.0.0.0/8"]), "2002:7f00:1::1");
  await refused(guard(["::ffff:7f00:1"], ["::/0"]), "::ffff:7f00:1");
});

test("with the check turned off any address is dialled, but never a zone", async () => {
  const off = (answer: string): UpstreamGuard =>
    createGuard({ allowedIps: privateRanges, disableIpValidation: true }, async () => [answer]);
  assert.deepEqual(await check(off("8.8.8.8")), ["8.8.8.8"]);
  await refused(off("fe80::1%eth0"), "fe80::1%eth0");
});

test("a name without an answer is unreachable, not allowed", async () => {
  for (const resolve of [async () => [], async () => Promise.reject(new Error("ENOTFOUND"))]) {
    const of = createGuard({ allowedIps: privateRanges, disableIpValidation: false }, resolve);
    await assert.rejects(check(of), { code: "upstream_unreachable", message: /does not resolve/ });
  }
});

test("a name service that does not answer is given up with the caller's reason", async () => {
  const of = createGuard(
    { allowedIps: privateRanges, disableIpValidation: false },
    () => new Promise(() => undefined),
  );
  await assert.rejects(of.check("docs.internal", AbortSignal.abort(new Error("enough"))), {
    message: "enough",
  });
});

test("whatever the answers, what comes out is allowed and is an address; nothing is let through by its spelling", async () => {
  const octet = fc.oneof(
    fc.constantFrom(0, 10, 100, 127, 169, 172, 192, 254, 255),
    fc.integer({ min: 0, max: 255 }),
  );
  const ipv4 = fc.tuple(octet, octet, octet, octet);
  const isPrivate = ([a, b]: readonly [number, number, number, number]): boolean =>
    a === 10 || (a === 172 && b >= 16 && b <= 31) || (a === 192 && b === 168);
  const hex = ([a, b, c, d]: readonly [number, number, number, number]): string =>
    `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  await fc.assert(
    fc.asyncProperty(
      ipv4,
      fc.constantFrom("", "::ffff:", "64:ff9b::", "::ffff:0:", "2002:"),
      async (bytes, form) => {
        const text =
          form === "" ? bytes.join(".") : form === "2002:" ? `2002:${hex(bytes)}::` : form + hex(bytes);
        assert.notEqual(isIP(text), 0, text);
        const passed = await check(guard([text])).catch(() => undefined);
        const expected = isPrivate(bytes) && ["", "::ffff:"].includes(form) ? [bytes.join(".")] : undefined;
        assert.deepEqual(passed, expected, text);
      },
    ),
    { numRuns: 500 },
  );
});

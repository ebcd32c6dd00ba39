/** The reader of server names against real ClientHellos, cut anywhere, and against bytes that lie about their lengths. */
import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { suite, test } from "node:test";
import { connect } from "node:tls";
import * as fc from "fast-check";
import { readClientHello } from "../../../src/hub/edge/client-hello.ts";
import { canonicalHost } from "../../../src/hub/edge/host.ts";

/** What Node's TLS client says first. */
function hello(servername?: string): Promise<Buffer> {
  return new Promise((resolve) => {
    const wire = new Duplex({
      read: () => undefined,
      write(chunk: Buffer, _encoding, done) {
        resolve(chunk);
        done();
      },
    });
    const tls = connect({ socket: wire, ...(servername !== undefined && { servername }) });
    tls.on("error", () => undefined);
  });
}

/** The same handshake in records of at most `size` bytes. */
function fragmented(bytes: Buffer, size: number): Buffer {
  const body = bytes.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < body.length; at += size) {
    const part = body.subarray(at, at + size);
    records.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 0xff]), part);
  }
  return Buffer.concat(records);
}

suite("a ClientHello", () => {
  test("gives its server name, or that it has none", async () => {
    assert.deepEqual(readClientHello(await hello("docs.tunnel.example")), {
      state: "hello",
      name: "docs.tunnel.example",
    });
    assert.deepEqual(readClientHello(await hello()), { state: "hello", name: null });
  });

  test("gives the same however it is cut into records, and nothing before it is whole", async () => {
    const whole = await hello("docs.tunnel.example");
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 600 }), fc.nat(), (size, cut) => {
        const bytes = fragmented(whole, size);
        assert.deepEqual(readClientHello(bytes), { state: "hello", name: "docs.tunnel.example" });
        assert.equal(readClientHello(bytes.subarray(0, cut % bytes.length)).state, "more");
      }),
    );
  });

  test("is never misread: changed anywhere, it is a hello, not TLS, or incomplete, and never throws", async () => {
    const whole = await hello("docs.tunnel.example");
    fc.assert(
      fc.property(fc.nat(), fc.nat(255), fc.nat(), fc.nat(255), (at, byte, other, second) => {
        const bytes = Buffer.from(whole);
        bytes[at % bytes.length] = byte;
        bytes[other % bytes.length] = second;
        assert.ok(["hello", "more", "not_tls"].includes(readClientHello(bytes).state));
      }),
      { numRuns: 2_000 },
    );
  });

  test("of random bytes never throws, and never names a host", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, asRecord) => {
        if (asRecord) bytes.set([22, 3, 1].slice(0, bytes.length));
        const reading = readClientHello(bytes);
        assert.ok(reading.state !== "hello" || reading.name === null);
      }),
    );
  });

  const header = [22, 3, 1, 0, 200, 1];
  for (const [name, bytes] of Object.entries({
    "a handshake of 16 MiB": [...header, 255, 255, 255],
    "a handshake just above the bound": [...header, 0, 0x80, 0],
    "a record of no bytes": [22, 3, 1, 0, 0],
    "a record above 16 KiB": [22, 3, 1, 0x40, 1],
    "another handshake message": [22, 3, 1, 0, 4, 2, 0, 0, 0],
    "another record type behind the first": [22, 3, 1, 0, 1, 1, 23, 3, 3, 0, 1, 0],
    "SSL 2": [0x80, 46, 1, 0, 2],
    "a session id longer than the rest": [...header, 0, 0, 35, 3, 3, ...Array<number>(32).fill(0), 255],
  })) {
    test(`is refused: ${name}`, () => {
      assert.equal(readClientHello(Uint8Array.from(bytes)).state, "not_tls");
    });
  }

  test("in crumbs costs time in its size only", async () => {
    const bytes = fragmented(await hello("a".repeat(63)), 1);
    assert.equal(readClientHello(bytes).state, "hello");
  });
});

suite("a canonical host", () => {
  test("is lower case without its trailing dot", () => {
    assert.equal(canonicalHost("Docs.Tunnel.Example."), "docs.tunnel.example");
  });

  for (const text of [
    "",
    ".",
    "a..b",
    "docs.tunnel.example..",
    "user@docs.tunnel.example",
    "docs.tunnel.example:443",
    "docs.tunnel.example\0.evil.example",
    "[::1]",
    "fe80::1%eth0",
    "dоcs.tunnel.example",
    "docs tunnel",
    "-docs.example/../",
    `${"a".repeat(64)}.example`,
    `${"a.".repeat(130)}example`,
  ]) {
    test(`is none: ${JSON.stringify(text.slice(0, 40))}`, () => assert.equal(canonicalHost(text), undefined));
  }
});

import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import * as fc from "fast-check";
import { Redaction } from "../../../../src/tunnel/proxy/redact.ts";
import { Blotter } from "../../../../src/tunnel/proxy/spellings.ts";

const secret = "s3cret/canary+token";

async function through(secrets: readonly string[], pieces: readonly Buffer[]): Promise<Buffer> {
  return await buffer(Readable.from(pieces, { objectMode: false }).pipe(new Redaction(new Blotter(secrets))));
}

const hex = (byte: number, digits: number): string => byte.toString(16).padStart(digits, "0");

/** How each byte of a text may be written without changing what it says */
const escapes: readonly ((byte: number) => string)[] = [
  (byte) => String.fromCharCode(byte),
  (byte) => `%${hex(byte, 2)}`,
  (byte) => `%${hex(byte, 2).toUpperCase()}`,
  (byte) => `\\u${hex(byte, 4)}`,
];

/** Pieces of `text` that are cut at `cuts`, in per mille of it. */
function cutAt(text: Buffer, cuts: readonly number[]): Buffer[] {
  const places = cuts.map((cut) => Math.trunc((cut * text.length) / 1_000)).toSorted((a, b) => a - b);
  return [...places, text.length].map((place, at) => text.subarray(places[at - 1] ?? 0, place));
}

const secrets = fc.string({
  unit: fc.constantFrom("a", "b", "Z", "0", "9", "+", "/", "=", "-", "_", ".", "~", ":", "#", "&"),
  minLength: 5,
  maxLength: 40,
});
const cuts = fc.array(fc.nat(1_000), { maxLength: 8 });

test("a secret is blotted out however its bytes are escaped and wherever the pieces are cut", async () => {
  const choices = fc.array(fc.nat(escapes.length - 1), { minLength: 40, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(secrets, choices, cuts, async (word, chosen, where) => {
      const spelled = [...Buffer.from(word)].map((byte, at) => escapes[chosen[at] ?? 0]?.(byte)).join("");
      const reply = Buffer.from(`<${spelled}>`);
      const clean = await through([word], cutAt(reply, where));
      assert.equal(clean.toString(), `<${"*".repeat(spelled.length)}>`);
    }),
    { numRuns: 300 },
  );
});

test("a secret within base64 cannot be read out of it, at any alignment, in either alphabet", async () => {
  const around = fc.string({ unit: fc.constantFrom("u", "s", ":", "Q", "~"), maxLength: 7 });
  const alphabet = fc.constantFrom<BufferEncoding>("base64", "base64url");
  await fc.assert(
    fc.asyncProperty(secrets, fc.tuple(around, around), alphabet, cuts, async (word, ...others) => {
      const [[before, after], how, where] = others;
      const coded = Buffer.from(`${before}${word}${after}`).toString(how);
      const clean = (await through([word], cutAt(Buffer.from(`<${coded}>`), where))).toString();
      const from = Math.ceil((before.length * 8) / 6);
      const to = Math.floor(((before.length + word.length) * 8) / 6);
      assert.equal(clean.length, coded.length + 2);
      assert.equal(clean.slice(1 + from, 1 + to), "*".repeat(to - from));
    }),
    { numRuns: 300 },
  );
});

test("what holds no secret comes through as it was, to the last byte (control)", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), cuts, async (bytes, where) => {
      const text = Buffer.from(bytes);
      assert.deepEqual(await through([secret], cutAt(text, where)), text);
    }),
  );
});

test("base64 that is percent-encoded in turn, and escapes of JSON, are seen through", async () => {
  const coded = encodeURIComponent(Buffer.from(secret).toString("base64"));
  const json = JSON.stringify({ said: 'quo"ted\\secret' });
  const slashed = secret.replaceAll("/", "\\/");
  const said = (
    await through(['quo"ted\\secret', secret], [Buffer.from(`${coded} ${json} ${slashed}`)])
  ).toString();
  assert.match(said, /^\*+.{0,8} \{"said":"\*+"\} \*+$/);
});

test("a secret that looks like an escape is blotted out as it stands", async () => {
  assert.equal(
    (await through(["%25\\u0025x"], [Buffer.from("a%25\\u0025xb")])).toString(),
    `a${"*".repeat(10)}b`,
  );
});

test("a beginning that comes to nothing is let go, and a shorter secret within it is not", async () => {
  const pieces = ["long", "-short-", "en"].map((piece) => Buffer.from(piece));
  assert.equal((await through(["long-short-ending", "short"], pieces)).toString(), "long-*****-en");
});

test("a header's value is looked through too", () => {
  const coded = Buffer.from(`user:${secret}`).toString("base64");
  const said = new Blotter([secret]).text(`Basic ${coded}; ${secret}`);
  assert.ok(!said.includes(secret) && !said.includes(coded.slice(8, -4)));
  assert.match(said, /^Basic .{1,8}\*+.{0,4}; \*{19}$/);
});

test("only what may be the beginning of a secret is kept back, and what came in stays as it was", () => {
  const blotter = new Blotter(["secret"]);
  const settled = (text: string): number => blotter.blot(Buffer.from(text), false).settled;
  assert.deepEqual(
    ["a sad end", "a sec", "a s%6", "a s%65c", "a s%9", "a s%qq", "a s\\", "a s\\u00", "a s\\u1"].map(
      settled,
    ),
    [9, 2, 2, 2, 5, 6, 2, 2, 6],
  );
  const bytes = Buffer.from("a secret");
  assert.equal(blotter.blot(bytes, false).clean.toString(), "a ******");
  assert.equal(bytes.toString(), "a secret");
});

test("a whole secret is blotted out though a longer one begins with it, and what is none is left", () => {
  assert.equal(new Blotter(["secret", "secret-and-more"]).text("secret-and"), "******-and");
  assert.equal(new Blotter(["ab"]).text("YWI="), "YWI=", "too short to be told in base64");
  assert.equal(new Blotter(["abcdef"]).text("a\\bcdef"), "a\\bcdef", "no escape of b");
  assert.equal(new Blotter(["a/cdef"]).text("a\\xcdef"), "a\\xcdef", "no escape of /");
});

test("what nobody reads is held back at its source, however small its pieces are", async () => {
  let taken = 0;
  const crumbs = function* (): Generator<Buffer> {
    for (; taken < 1_000; taken += 1) yield Buffer.from("x");
  };
  const source = Readable.from(crumbs(), { objectMode: false, highWaterMark: 1 });
  const held = source.pipe(new Redaction(new Blotter([secret])));
  for (let turn = 0; turn < 3_000; turn += 1) await setImmediate();
  assert.ok(taken < 100, `${taken} pieces`);
  assert.equal((await buffer(held)).length, 1_000);
});

/** The ways a secret may be written in a reply: as it stands, percent-encoded, escaped as in JSON, and as a part of base64. */

interface Spelling {
  readonly bytes: Buffer;
  /** Any of its bytes may be escaped */
  readonly escapes: boolean;
}

/** A base64 text with fewer characters of the secret's own is found in what has nothing to do with it */
const minBase64 = 6;
const [percent, backslash, letterU, star] = Buffer.from("%\\u*") as unknown as [
  number,
  number,
  number,
  number,
];
/** RFC 8259 §7: those that may stand behind a backslash as they are, and are printable */
const escapable = new Set(Buffer.from('"\\/'));

const none = -1;
/** The bytes end before it is known */
const open = -2;

/** Blots secrets out of bytes, each by as many `*` as its spelling is long. */
export class Blotter {
  /** By the byte they may begin with */
  readonly #byStart: readonly (readonly Spelling[] | undefined)[];

  /** None of `secrets` is empty. */
  constructor(secrets: readonly string[]) {
    const all = secrets.flatMap(spellingsOf);
    this.#byStart = Array.from({ length: 256 }, (_each, start) => {
      const isLead = start === percent || start === backslash;
      const those = all.filter(({ bytes, escapes }) => bytes[0] === start || (escapes && isLead));
      return those.length === 0 ? undefined : those;
    });
  }

  /** `settled` bytes are clean; what follows may be the beginning of a spelling, unless `isLast`. */
  blot(bytes: Buffer, isLast: boolean): { clean: Buffer; settled: number } {
    let clean = bytes;
    let at = 0;
    while (at < bytes.length) {
      const possible = this.#byStart[bytes[at] ?? 0];
      if (possible === undefined) {
        at += 1;
        continue;
      }
      const end = longest(possible, bytes, at);
      if (end === open && !isLast) break;
      if (end > at) {
        if (clean === bytes) clean = Buffer.from(bytes);
        clean.fill(star, at, end);
      }
      at = Math.max(at + 1, end);
    }
    return { clean, settled: at };
  }

  text(text: string): string {
    return this.blot(Buffer.from(text, "latin1"), true).clean.toString("latin1");
  }
}

/** A whole spelling comes before one that is not whole yet: its beginning is blotted out with it. */
function longest(spellings: readonly Spelling[], bytes: Buffer, at: number): number {
  let best = none;
  for (const spelling of spellings) {
    const end = endOf(spelling, bytes, at);
    if (end > Math.max(best, at) || (end === open && best === none)) best = end;
  }
  return best;
}

function spellingsOf(secret: string): Spelling[] {
  // header values travel as latin1, bodies mostly as UTF-8
  const plain = unique([Buffer.from(secret), Buffer.from(secret, "latin1")]);
  const coded = unique(plain.flatMap((bytes) => [0, 1, 2].flatMap((before) => base64Within(bytes, before))));
  return [
    ...plain.map((bytes) => ({ bytes, escapes: false })),
    ...[...plain, ...coded].map((bytes) => ({ bytes, escapes: true })),
  ];
}

/** The characters that `bytes` alone decides in a base64 text with `before` more bytes in front, in both alphabets of RFC 4648. */
function base64Within(bytes: Buffer, before: number): Buffer[] {
  const text = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64");
  const own = text.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6));
  if (own.length < minBase64) return [];
  return [own, own.replaceAll("+", "-").replaceAll("/", "_")].map((each) => Buffer.from(each));
}

function unique(all: readonly Buffer[]): Buffer[] {
  return [...new Map(all.map((bytes) => [bytes.toString("latin1"), bytes])).values()];
}

/** Where the spelling ends that begins at `at`, or `none`, or `open`. */
function endOf({ bytes: wanted, escapes }: Spelling, bytes: Buffer, at: number): number {
  let next = at;
  for (let index = 0; index < wanted.length; index += 1) {
    if (next >= bytes.length) return open;
    const byte = wanted[index] ?? 0;
    const width = escapes ? escapeWidth(byte, bytes, next) : 0;
    if (width === open) return open;
    if (width === 0 && bytes[next] !== byte) return none;
    next += width || 1;
  }
  return next;
}

/** How many bytes from `at` are an escape of `byte`: 0 where they are none. */
function escapeWidth(byte: number, bytes: Buffer, at: number): number {
  const lead = bytes[at];
  if (lead === percent) return hexWidth(byte, bytes, { at, digits: at + 1, count: 2 });
  if (lead !== backslash) return 0;
  if (at + 1 >= bytes.length) return open;
  if (bytes[at + 1] === letterU) return hexWidth(byte, bytes, { at, digits: at + 2, count: 4 });
  return escapable.has(byte) && bytes[at + 1] === byte ? 2 : 0;
}

function hexWidth(
  byte: number,
  bytes: Buffer,
  { at, digits, count }: { at: number; digits: number; count: number },
): number {
  const wanted = byte.toString(16).padStart(count, "0");
  const said = bytes.toString("latin1", digits, digits + count).toLowerCase();
  if (said === wanted) return digits + count - at;
  return digits + count > bytes.length && wanted.startsWith(said) ? open : 0;
}

/**
 * Reads the server name out of the start of a TLS connection without taking part in it. Nothing is copied out of its place before
 * every length on the way there is checked. https://www.rfc-editor.org/rfc/rfc8446#section-4.1.2
 */

/** bytes of a ClientHello with its record headers; browsers with post-quantum keys send about 2 KiB */
export const maxHelloBytes = 32 * 2 ** 10;

export type HelloReading =
  | { state: "more" }
  /** `reason` for logs */
  | { state: "not_tls"; reason: string }
  /** `name` as it was sent; null where there is none */
  | { state: "hello"; name: string | null };

const recordHandshake = 22;
const recordHeaderBytes = 5;
const handshakeHeaderBytes = 4;
/** https://www.rfc-editor.org/rfc/rfc8446#section-5.1 */
const maxRecordBytes = 2 ** 14;
const clientHello = 1;
const serverNameExtension = 0;
const hostNameType = 0;

const more: HelloReading = Object.freeze({ state: "more" });

/** Looks at everything that came so far; call again with more until it is not `more`. */
export function readClientHello(bytes: Uint8Array): HelloReading {
  try {
    const handshake = handshakeOf(bytes);
    if (handshake === undefined) return bytes.length > maxHelloBytes ? notTls("hello too large") : more;
    return { state: "hello", name: serverName(handshake) };
  } catch (error) {
    if (error instanceof Malformed) return notTls(error.message);
    throw error;
  }
}

class Malformed extends Error {}

function notTls(reason: string): HelloReading {
  return { state: "not_tls", reason };
}

/** The body of the ClientHello, put together from its records; undefined while some of it is missing. */
function handshakeOf(bytes: Uint8Array): Uint8Array | undefined {
  const parts: Uint8Array[] = [];
  let held = 0;
  let wanted: number | undefined;
  for (let at = 0; ;) {
    const body = recordAt(bytes, at);
    if (body === undefined) return undefined;
    parts.push(body.bytes);
    held += body.bytes.length;
    wanted ??= wantedBytes(parts, held);
    if (wanted !== undefined && held >= wanted) {
      const all = parts.length === 1 ? body.bytes : Buffer.concat(parts);
      return all.subarray(handshakeHeaderBytes, wanted);
    }
    if (!body.whole) return undefined;
    at += recordHeaderBytes + body.bytes.length;
  }
}

/** What has come of the record that starts at `at`; undefined while its header is missing. */
function recordAt(bytes: Uint8Array, at: number): { bytes: Uint8Array; whole: boolean } | undefined {
  const [type, major, , high, low] = bytes.subarray(at, at + recordHeaderBytes);
  if (type !== undefined && type !== recordHandshake) throw new Malformed("not a handshake record");
  if (major !== undefined && major !== 3) throw new Malformed("not a version of TLS");
  if (high === undefined || low === undefined) return undefined;
  const length = high * 256 + low;
  if (length === 0 || length > maxRecordBytes) throw new Malformed(`a record of ${length} bytes`);
  const start = at + recordHeaderBytes;
  const body = bytes.subarray(start, start + length);
  return { bytes: body, whole: body.length === length };
}

/** Bytes of the handshake message with its header; undefined while the header is missing. */
function wantedBytes(parts: readonly Uint8Array[], held: number): number | undefined {
  if (held > 0 && parts[0]?.[0] !== clientHello) throw new Malformed("not a ClientHello");
  if (held < handshakeHeaderBytes) return undefined;
  const [, high = 0, middle = 0, low = 0] = Buffer.concat(parts);
  const wanted = handshakeHeaderBytes + high * 65_536 + middle * 256 + low;
  if (wanted > maxHelloBytes) throw new Malformed(`a ClientHello of ${wanted} bytes`);
  return wanted;
}

/** Reads forward within its bounds only. */
class Cursor {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isEmpty(): boolean {
    return this.#at === this.#bytes.length;
  }

  take(length: number): Uint8Array {
    if (this.#bytes.length - this.#at < length) throw new Malformed("a length beyond its container");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  number(width: 1 | 2): number {
    return this.take(width).reduce((sum, byte) => sum * 256 + byte, 0);
  }

  /** What a length of `width` bytes stands before. */
  vector(width: 1 | 2): Cursor {
    return new Cursor(this.take(this.number(width)));
  }

  rest(): Uint8Array {
    return this.take(this.#bytes.length - this.#at);
  }
}

function serverName(hello: Uint8Array): string | null {
  const body = new Cursor(hello);
  body.take(2 + 32);
  body.vector(1);
  body.vector(2);
  body.vector(1);
  if (body.isEmpty) return null;
  const extensions = body.vector(2);
  while (!extensions.isEmpty) {
    const type = extensions.number(2);
    const content = extensions.vector(2);
    if (type === serverNameExtension) return hostNameIn(content);
  }
  return null;
}

/** https://www.rfc-editor.org/rfc/rfc6066#section-3 */
function hostNameIn(extension: Cursor): string | null {
  const names = extension.vector(2);
  while (!names.isEmpty) {
    const type = names.number(1);
    const name = names.vector(2);
    if (type === hostNameType) return Buffer.from(name.rest()).toString("latin1");
  }
  return null;
}

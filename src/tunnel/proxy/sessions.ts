/**
 * Session ids that leave this proxy name the connector that holds the session, so that any other connector of the tunnel knows
 * where a request belongs. They are sealed with a key from the TLS key, which all connectors of a tunnel share and nobody else has.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, type KeyObject } from "node:crypto";

export interface SessionPlace {
  readonly connector: string;
  /** The session id of the upstream */
  readonly session: string;
}

const mark = "sp1.";
const ivBytes = 12;
const tagBytes = 16;

/** ids that are known without a cipher: each call of a session needs two, and the cipher takes a twentieth of the call */
const mostKnown = 256;

/** AES-256-GCM with an IV from the content, so that one session always has one id. */
export class SessionSeal {
  readonly #key: Buffer;
  readonly #ivKey: Buffer;
  readonly #ids = new Map<string, string>();
  readonly #places = new Map<string, SessionPlace>();

  constructor(privateKey: KeyObject) {
    const secret = privateKey.export({ type: "pkcs8", format: "der" });
    const bytes = Buffer.from(hkdfSync("sha256", secret, "", "sallyport mcp session v1", 64));
    this.#key = bytes.subarray(0, 32);
    this.#ivKey = bytes.subarray(32);
  }

  /** An id that is good for `host` only. */
  seal(host: string, place: SessionPlace): string {
    const text = JSON.stringify([place.connector, place.session]);
    return remembered(this.#ids, `${host}\0${text}`, () => this.#seal(host, text));
  }

  /** Null for whatever this key did not seal for `host`. */
  open(host: string, id: string): SessionPlace | null {
    return remembered(this.#places, `${host}\0${id}`, () => this.#open(host, id));
  }

  #seal(host: string, text: string): string {
    const plain = Buffer.from(text);
    const iv = createHmac("sha256", this.#ivKey).update(host).update("\0").update(plain).digest();
    const nonce = iv.subarray(0, ivBytes);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce).setAAD(Buffer.from(host));
    const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
    return mark + Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString("base64url");
  }

  #open(host: string, id: string): SessionPlace | null {
    const bytes = Buffer.from(id.slice(mark.length), "base64url");
    if (!id.startsWith(mark) || bytes.length <= ivBytes + tagBytes) return null;
    const decipher = createDecipheriv("aes-256-gcm", this.#key, bytes.subarray(0, ivBytes), {
      authTagLength: tagBytes,
    }).setAAD(Buffer.from(host));
    decipher.setAuthTag(bytes.subarray(ivBytes, ivBytes + tagBytes));
    try {
      const plain = Buffer.concat([decipher.update(bytes.subarray(ivBytes + tagBytes)), decipher.final()]);
      const [connector, session] = JSON.parse(plain.toString("utf8")) as [string, string];
      return { connector, session };
    } catch {
      return null;
    }
  }
}

/** What `known` has of `name`, or what is found, which is kept unless it is nothing: the latest `mostKnown` are. */
function remembered<Value, Found extends Value | null>(
  known: Map<string, Value>,
  name: string,
  find: () => Found,
): Value | Found {
  const value = known.get(name) ?? find();
  if (value === null || known.has(name)) return value;
  const [oldest] = known.size < mostKnown ? [] : known.keys();
  if (oldest !== undefined) known.delete(oldest);
  known.set(name, value);
  return value;
}

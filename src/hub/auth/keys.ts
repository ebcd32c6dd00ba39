/** What an access key is: a random text its holder keeps, and a digest with rights that the hub keeps. */
import { hash, randomBytes, timingSafeEqual } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { SallyportError } from "../../errors.ts";
import { issuesToError } from "../../protocol/index.ts";

export const scopes = ["jobs", "sessions", "admin", "worker", "connector"] as const;
export type Scope = (typeof scopes)[number];

const keyRecordSchema = z.strictObject({
  name: z.string().min(1).max(128),
  tenant: z.string().min(1).max(128),
  /**
   * Share of the fleet relative to other tenants. A turn is 1 / weight behind the one before: a tenant of next to none would move everybody's
   * present to where the turns of all others are the same number.
   */
  weight: z.number().min(0.000_001).max(1_000_000),
  scopes: z.array(z.enum(scopes)).min(1),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, "must be a SHA-256 in lower-case hex"),
  createdAt: z.iso.datetime(),
  revokedAt: z.iso.datetime().nullable(),
});
export type KeyRecord = z.output<typeof keyRecordSchema>;

const keyFileSchema = z.strictObject({ keys: z.array(keyRecordSchema).max(10_000) });

/** Who a request comes from, and what it may do. */
export interface Identity {
  /** Of exactly this credential: a later one of the same name has another */
  id: string;
  name: string;
  tenant: string;
  weight: number;
  scopes: readonly Scope[];
}

export interface NewKey {
  name: string;
  tenant: string;
  weight: number;
  scopes: readonly Scope[];
}

/** Reads the text of `keys.json`; throws `config_invalid` naming file, field and reason. */
export function parseKeyFile(file: string, text: string): KeyRecord[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new SallyportError("config_invalid", `${file}: not valid JSON`, {
      details: { file },
      cause: error,
    });
  }
  const parsed = keyFileSchema.safeParse(json);
  if (!parsed.success) throw issuesToError(parsed.error, "config_invalid", file);
  return parsed.data.keys;
}

/** `sp_` and 43 base64url characters: 256 random bits. */
export function newKeyText(): string {
  return `sp_${randomBytes(32).toString("base64url")}`;
}

export function keyRecord(key: NewKey, text: string, now: Date): KeyRecord {
  return {
    ...key,
    scopes: [...key.scopes],
    sha256: digestOf(text).toString("hex"),
    createdAt: now.toISOString(),
    revokedAt: null,
  };
}

/** The holder of `text`. Every key is compared, each in constant time. */
export function findIdentity(keys: readonly KeyRecord[], text: string): Identity | undefined {
  const digest = digestOf(text);
  let found: KeyRecord | undefined;
  for (const key of keys) {
    const same = timingSafeEqual(digest, Buffer.from(key.sha256, "hex"));
    if (same && key.revokedAt === null) found = key;
  }
  if (found === undefined) return undefined;
  return identityOf(found);
}

/** Whether the key of `identity` is in use, with the same rights. */
export function stillStands(keys: readonly KeyRecord[], identity: Identity): boolean {
  const key = keys.find((known) => known.revokedAt === null && idOf(known) === identity.id);
  return key !== undefined && isDeepStrictEqual(key.scopes, identity.scopes);
}

function identityOf(key: KeyRecord): Identity {
  return { id: idOf(key), name: key.name, tenant: key.tenant, weight: key.weight, scopes: key.scopes };
}

/** Enough of the digest to tell keys apart, too little to be one. */
function idOf({ sha256 }: KeyRecord): string {
  return `key-${sha256.slice(0, 16)}`;
}

/** `admin` implies every other scope. */
export function hasScope(identity: Identity, ...wanted: readonly Scope[]): boolean {
  return identity.scopes.includes("admin") || wanted.some((scope) => identity.scopes.includes(scope));
}

function digestOf(text: string): Buffer {
  return hash("sha256", text, "buffer");
}

import { readFile } from "node:fs/promises";
import type { IncomingHttpHeaders } from "node:http";
import { dirname, join } from "node:path";
import type { Stats } from "node:fs";
import { deadlineSignal, sleep } from "../../async/index.ts";
import { isError, SallyportError } from "../../errors.ts";
import { holdFolder } from "../../hold.ts";
import type { Log } from "../../log.ts";
import type { Authenticator } from "./authenticator.ts";
import { secureFolder, secureStats, writeSecurely } from "./safe-file.ts";
import {
  findIdentity,
  stillStands,
  keyRecord,
  newKeyText,
  parseKeyFile,
  type Identity,
  type KeyRecord,
  type NewKey,
} from "./keys.ts";

/** How long a change waits for others, in `ms` */
const turnMs = 10_000;

/** Keys as bearer tokens. */
export interface KeyRing extends Authenticator {
  /** Adds a key and returns its text, which is kept nowhere. */
  addKey(key: NewKey): Promise<string>;
  /** Every key, revoked ones too, without their digests. */
  listKeys(): Promise<Omit<KeyRecord, "sha256">[]>;
  /** Ends the key of that name; throws `config_invalid` when none in use has it. */
  revokeKey(name: string): Promise<void>;
}

export interface KeyRingOptions {
  /** state folder: holds `keys.json`, and after a first start `admin.key`, `worker.token` and `connector.token` */
  dir: string;
  /** how long a look at the file's age is trusted, in `ms`; default 400 */
  recheckMs?: number;
}

const firstKeys: readonly { file: string; key: NewKey }[] = [
  { file: "admin.key", key: { name: "admin", tenant: "default", weight: 1, scopes: ["admin"] } },
  {
    file: "worker.token",
    key: { name: "worker", tenant: "default", weight: 1, scopes: ["worker", "connector"] },
  },
  {
    file: "connector.token",
    key: { name: "connector", tenant: "default", weight: 1, scopes: ["connector"] },
  },
];

/**
 * Opens the keys of a state folder, making an admin key, a worker's and a connector's token in an empty one. Throws `config_invalid` naming the
 * file and the fix when a file is malformed, or open to other users.
 */
export async function openKeyRing(deps: { log: Log }, options: KeyRingOptions): Promise<KeyRing> {
  await secureFolder(options.dir);
  for (const { file } of firstKeys) await secureStats(join(options.dir, file));
  const path = join(options.dir, "keys.json");
  const stats = (await secureStats(path)) ?? (await makeFirstKeys(options.dir, path));
  const keys = parseKeyFile(path, await readFile(path, "utf8"));
  return new FileKeyRing(deps, { path, recheckMs: options.recheckMs ?? 400, keys, stats });
}

/** `keys.json` comes last: when it exists the first start is complete. */
async function makeFirstKeys(dir: string, path: string): Promise<Stats> {
  const records: KeyRecord[] = [];
  for (const { file, key } of firstKeys) {
    const text = newKeyText();
    await writeSecurely(join(dir, file), `${text}\n`);
    records.push(keyRecord(key, text, new Date()));
  }
  await writeSecurely(path, keyFileText(records));
  const stats = await secureStats(path);
  if (stats === null) throw new SallyportError("config_invalid", `${path} vanished while it was made`);
  return stats;
}

function keyFileText(keys: readonly KeyRecord[]): string {
  return `${JSON.stringify({ keys }, null, 2)}\n`;
}

interface FileKeyRingOptions {
  path: string;
  recheckMs: number;
  keys: KeyRecord[];
  stats: Stats;
}

class FileKeyRing implements KeyRing {
  readonly #log: Log;
  readonly #path: string;
  readonly #recheckMs: number;
  #keys: KeyRecord[];
  #version: string;
  #checkedAt = performance.now();
  #checking: Promise<void> | undefined;

  constructor(deps: { log: Log }, options: FileKeyRingOptions) {
    this.#log = deps.log;
    this.#path = options.path;
    this.#recheckMs = options.recheckMs;
    this.#keys = options.keys;
    this.#version = versionOf(options.stats);
  }

  async identify({ authorization }: IncomingHttpHeaders): Promise<Identity | undefined> {
    const text = /^Bearer ([A-Za-z0-9_-]{1,256})$/i.exec(authorization ?? "")?.[1];
    if (text === undefined) return undefined;
    await this.#recheck();
    return findIdentity(this.#keys, text);
  }

  async stands(identity: Identity): Promise<boolean> {
    await this.#recheck();
    return stillStands(this.#keys, identity);
  }

  async addKey(key: NewKey): Promise<string> {
    const text = newKeyText();
    await using _turn = await turnToChange(dirname(this.#path));
    const current = await this.#read();
    if (current.some((known) => known.name === key.name && known.revokedAt === null)) {
      throw new SallyportError("request_invalid", `name: a key named ${JSON.stringify(key.name)} exists`, {
        details: { field: "name", fix: "choose another name, or revoke that key first" },
      });
    }
    await this.#write([...current, keyRecord(key, text, new Date())]);
    return text;
  }

  async listKeys(): Promise<Omit<KeyRecord, "sha256">[]> {
    const keys = await this.#read();
    return keys.map(({ name, tenant, weight, scopes, createdAt, revokedAt }) => {
      return { name, tenant, weight, scopes, createdAt, revokedAt };
    });
  }

  async revokeKey(name: string): Promise<void> {
    await using _turn = await turnToChange(dirname(this.#path));
    const current = await this.#read();
    const found = current.find((key) => key.name === name && key.revokedAt === null);
    if (found === undefined) {
      throw new SallyportError("config_invalid", `name: no key in use is named ${JSON.stringify(name)}`, {
        details: { field: "name", fix: "see `sallyport keys ls`" },
      });
    }
    const revoked = { ...found, revokedAt: new Date().toISOString() };
    await this.#write(current.map((key) => (key === found ? revoked : key)));
  }

  async #recheck(): Promise<void> {
    if (performance.now() - this.#checkedAt < this.#recheckMs) return;
    this.#checking ??= this.#reread().finally(() => (this.#checking = undefined));
    await this.#checking;
  }

  async #read(): Promise<KeyRecord[]> {
    return parseKeyFile(this.#path, await readFile(this.#path, "utf8"));
  }

  async #write(keys: KeyRecord[]): Promise<void> {
    const text = keyFileText(keys);
    parseKeyFile(this.#path, text);
    await writeSecurely(this.#path, text);
    this.#keys = keys;
  }

  /** A file that cannot be used keeps the keys read before it, so a slip of the editor locks nobody out. */
  async #reread(): Promise<void> {
    this.#checkedAt = performance.now();
    try {
      const stats = await secureStats(this.#path);
      const version = stats === null ? "missing" : versionOf(stats);
      if (version === this.#version) return;
      this.#version = version;
      this.#keys = parseKeyFile(this.#path, await readFile(this.#path, "utf8"));
      this.#log.info({ file: this.#path, keys: this.#keys.length }, "keys read again");
    } catch (error) {
      this.#log.error({ file: this.#path, err: error }, "keys not usable, keeping those read before");
    }
  }
}

/** Of two changes at once, by any processes of this host, the later would take the other back: a revoked key would stand. */
async function turnToChange(dir: string): Promise<AsyncDisposable> {
  using deadline = deadlineSignal(turnMs, "waiting for another change of the keys");
  for (;;) {
    try {
      return await holdFolder(dir, "change of the keys");
    } catch (error) {
      if (!isError(error, "state_in_use") || deadline.signal.aborted) throw error;
      await sleep(10);
    }
  }
}

function versionOf(stats: Stats): string {
  return `${stats.ino}:${stats.size}:${stats.mtimeMs}:${stats.ctimeMs}`;
}

import { createSecretKey, randomBytes, type KeyObject } from "node:crypto";
import { open, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { SallyportError } from "../errors.ts";
import { isMissing } from "./missing.ts";

/** The key of a log's digests, made at first use. Throws `config_invalid` when others can read it. */
export async function readKey(dir: string): Promise<KeyObject> {
  const path = join(dir, "audit.key");
  try {
    const { mode } = await stat(path);
    const key = Buffer.from((await readFile(path, "utf8")).trim(), "hex");
    if ((mode & 0o077) === 0 && key.length === 32) return createSecretKey(key);
    throw new SallyportError("config_invalid", `${path}: not a key, or others can read it`, {
      details: {
        source: path,
        fix: `chmod 600 ${path}, or remove it: digests of earlier lines are not matched then`,
      },
    });
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  const key = randomBytes(32);
  await using file = await open(path, "wx", 0o600);
  await file.writeFile(`${key.toString("hex")}\n`);
  await file.datasync();
  return createSecretKey(key);
}

/** Files that hold secrets: regular, ours, and closed to everybody else. */
import { randomBytes } from "node:crypto";
import type { Stats } from "node:fs";
import { lstat, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { SallyportError } from "../../errors.ts";
import { makeFolder } from "../../hold.ts";

/** Makes the folder when it is missing; throws `config_invalid` when it cannot be made, or somebody else could put files into it. */
export async function secureFolder(folder: string): Promise<void> {
  await makeFolder(folder);
  const stats = await lstat(folder);
  if (!stats.isDirectory()) throw unsafe(folder, "is not a folder", `remove ${folder}`);
  refuseForeign(folder, stats);
  if ((stats.mode & 0o022) !== 0) {
    throw unsafe(folder, "can be written by other users", `chmod go-w ${folder}`);
  }
}

/** What `lstat` says of a file nobody else can read, write or replace by a link; null when there is none. Throws `config_invalid`. */
export async function secureStats(file: string): Promise<Stats | null> {
  const stats = await lstat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw SallyportError.from(error, "config_invalid");
  });
  if (stats === null) return null;
  if (!stats.isFile()) throw unsafe(file, "is not a regular file", `replace ${file} by a regular file`);
  refuseForeign(file, stats);
  if ((stats.mode & 0o077) !== 0) {
    const mode = (stats.mode & 0o777).toString(8);
    throw unsafe(file, `can be read or written by other users (mode ${mode})`, `chmod 600 ${file}`);
  }
  return stats;
}

/** Replaces the file in one step, so that a crash leaves the old one or the new one; where it cannot, it leaves the old one alone. */
export async function writeSecurely(file: string, text: string): Promise<void> {
  const draft = `${file}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    await using handle = await open(draft, "wx", 0o600);
    await handle.writeFile(text);
    await handle.sync();
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  await using folder = await open(dirname(file), "r");
  await folder.sync();
}

function refuseForeign(path: string, stats: Stats): void {
  const self = process.getuid?.();
  if (self !== undefined && stats.uid !== self) {
    throw unsafe(
      path,
      `belongs to user ${stats.uid}, and this process runs as user ${self}`,
      `chown ${self} ${path}`,
    );
  }
}

function unsafe(file: string, reason: string, fix: string): SallyportError {
  return new SallyportError("config_invalid", `${file} ${reason}`, { details: { file, fix } });
}

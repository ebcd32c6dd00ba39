import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Makes a folder and those above it that are missing, each with `mode`; throws what the file system says. Node's own recursive `mkdir`
 * never ends below a folder that is there and takes no other, as `/proc`.
 */
export async function makeFolders(dir: string, mode = 0o777): Promise<void> {
  if (await made(dir, mode)) return;
  await makeFolders(dirname(dir), mode);
  await mkdir(dir, { mode }).catch((error: unknown) => unlessThere(dir, error));
}

/** False where the folder above it is missing. */
async function made(dir: string, mode: number): Promise<boolean> {
  try {
    await mkdir(dir, { mode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" && dirname(dir) !== dir) return false;
    await unlessThere(dir, error);
  }
  return true;
}

async function unlessThere(dir: string, error: unknown): Promise<void> {
  const there = await stat(dir).catch(() => undefined);
  if (there?.isDirectory() !== true) throw error;
}

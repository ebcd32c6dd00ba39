/** Finds programs without running them. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Administrators' folders are searched too: a plain shell often leaves them out of `PATH`. */
export function findProgram(...names) {
  const folders = [
    ...(process.env.PATH ?? "").split(delimiter),
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
  ].filter(Boolean);
  for (const name of names) {
    const found = folders.map((folder) => join(folder, name)).find(executable);
    if (found !== undefined) return found;
  }
  return undefined;
}

function executable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

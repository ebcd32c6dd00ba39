import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { configFault, type Source } from "./fault.ts";

/** bytes; a key is one short line */
const sizeLimit = 4_096;

/** The one line a key or token file holds. Throws `config_invalid` when it cannot be read or others can read it too. */
export function readSecretFile(path: string, what: string): string {
  const fault = (reason: string, fix: string): Error =>
    configFault(reason, { source: path, key: "", fix } satisfies Source);
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    throw fault(
      `cannot read the ${what}: ${(error as Error).message}`,
      `name the file that holds the ${what}`,
    );
  }
  try {
    const facts = fstatSync(file);
    if (!facts.isFile()) throw fault("is not a file", `name the file that holds the ${what}`);
    if ((facts.mode & 0o077) !== 0) {
      const mode = (facts.mode & 0o777).toString(8).padStart(4, "0");
      throw fault(`others can read this ${what} (mode ${mode})`, `chmod 600 ${path}`);
    }
    const secret = facts.size > sizeLimit ? "" : readFileSync(file, "utf8").trim();
    if (!/^[\x21-\x7e]+$/.test(secret))
      throw fault(`does not hold a ${what}`, `put the ${what} there, on one line`);
    return secret;
  } finally {
    closeSync(file);
  }
}

import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { randomBytes } from "node:crypto";
import { pipeline } from "node:stream/promises";
import type { Client } from "../../client/index.ts";
import { SallyportError } from "../../errors.ts";
import { makeFolders } from "../../folder.ts";
import type { Transfer } from "./plan.ts";

/**
 * Fetches each file the job left; returns what could not be had. A file appears whole or not at all. Throws the signal's reason, and
 * then leaves nothing half-done.
 */
export async function saveOutputs(
  jobs: Client["jobs"],
  id: string,
  outputs: readonly Transfer[],
  { cwd, signal }: { cwd: string; signal: AbortSignal },
): Promise<SallyportError[]> {
  const failures: SallyportError[] = [];
  for (const output of outputs) {
    try {
      const { bytes } = await jobs.artifact(id, output.path, { signal });
      await save(bytes, resolve(cwd, output.local), signal);
    } catch (error) {
      signal.throwIfAborted();
      const { code, message, details } = SallyportError.from(error);
      failures.push(
        new SallyportError(code, `--output ${output.path}: ${message}`, { details, cause: error }),
      );
    }
  }
  return failures;
}

async function save(bytes: AsyncIterable<Uint8Array>, local: string, signal: AbortSignal): Promise<void> {
  await makeFolders(dirname(local));
  const part = `${local}.${randomBytes(4).toString("hex")}.part`;
  try {
    await pipeline(bytes, createWriteStream(part, { flags: "wx" }), { signal });
    await rename(part, local);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

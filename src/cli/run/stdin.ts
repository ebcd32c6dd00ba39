/** Our own stdin as the job's. */
import { fstatSync } from "node:fs";
import { isatty } from "node:tty";
import type { Readable } from "node:stream";
import { abortable, sleep } from "../../async/index.ts";
import type { Client } from "../../client/index.ts";
import { isError, SallyportError } from "../../errors.ts";

/** Device number of `/dev/null` on Linux: 1, 3 */
const devNull = 0x103;

/** Whether `fd` holds something a job should read: not a terminal, not `/dev/null`, not closed. */
export function hasInput(fd: number): boolean {
  try {
    const facts = fstatSync(fd);
    return !isatty(fd) && !(facts.isCharacterDevice() && facts.rdev === devNull);
  } catch {
    return false;
  }
}

/**
 * Sends `source` to the job as the program reads it. Resolves when all of it is sent or the program takes no more. Throws
 * `hub_unreachable` when the connection broke, since what was on its way cannot be sent again.
 */
export async function feedStdin(
  jobs: Client["jobs"],
  id: string,
  source: Readable,
  signal: AbortSignal,
): Promise<void> {
  try {
    await jobs.stdin(id, await afterFirst(source, signal), { signal });
  } catch (error) {
    if (isError(error, "stdin_closed")) return;
    if (!isError(error, "hub_unreachable")) throw error;
    // A hub that answers early closes the connection under the rest of the body, and its answer can be lost with it.
    if (await isClosed(jobs, id, signal)) return;
    throw new SallyportError(
      "hub_unreachable",
      "the connection broke while stdin was sent; the rest is lost",
      {
        cause: error,
        details: { fix: "run the job again" },
      },
    );
  } finally {
    source.destroy();
  }
}

/** Waits for something to send, so that a stdin nobody writes to costs nothing. */
async function afterFirst(source: Readable, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const chunks: AsyncIterator<Uint8Array> = source[Symbol.asyncIterator]();
  let next = await abortable(chunks.next(), signal);
  return (async function* rest() {
    for (; next.done !== true; next = await chunks.next()) yield next.value;
  })();
}

async function isClosed(jobs: Client["jobs"], id: string, signal: AbortSignal): Promise<boolean> {
  for (let tries = 0; tries < 5; tries += 1) {
    try {
      await jobs.stdin(id, "", { more: true, signal });
      return false;
    } catch (error) {
      if (isError(error, "stdin_closed")) return true;
      if (!isError(error) || !error.retryable) throw error;
      await sleep(500, signal);
    }
  }
  return false;
}

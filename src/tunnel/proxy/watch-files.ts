/** Notices that files changed, also where a link to them was changed, as orchestrators do it. */
import { stat } from "node:fs/promises";
import { sleep } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";

/**
 * Looks at `files` every `everyMs` and tells once they have changed and been quiet for one more look, so that a pair that is
 * being replaced is read whole. What `changed` does is waited for; it must not reject.
 */
export function watchFiles(
  files: () => readonly string[],
  { everyMs, changed }: { everyMs: number; changed: () => void | Promise<void> },
): AsyncDisposable {
  const stop = new AbortController();
  const over = keepLooking(files, { everyMs, changed, signal: stop.signal });
  return {
    [Symbol.asyncDispose]: async () => {
      stop.abort(new SallyportError("shutting_down", "nobody watches these files any more"));
      await over;
    },
  };
}

interface Watch {
  everyMs: number;
  changed: () => void | Promise<void>;
  signal: AbortSignal;
}

async function keepLooking(
  files: () => readonly string[],
  { everyMs, changed, signal }: Watch,
): Promise<void> {
  let told = await look(files());
  let last = told;
  while (!signal.aborted) {
    await sleep(everyMs, signal).catch(() => undefined);
    if (signal.aborted) return;
    const now = await look(files());
    const isQuiet = now === last;
    last = now;
    if (now === told || !isQuiet) continue;
    told = now;
    await changed();
  }
}

async function look(files: readonly string[]): Promise<string> {
  const facts = await Promise.all(
    files.map(async (file) => {
      const found = await stat(file).catch(() => null);
      return found === null ? "none" : `${found.dev}:${found.ino}:${found.size}:${found.mtimeMs}`;
    }),
  );
  return facts.join(" ");
}

import { sleep } from "../../async/index.ts";
import { isError } from "../../errors.ts";

/** between two tries, `ms` */
const retryMs = 500;

/** True for errors of the store that pass. */
export function isStoreTrouble(error: unknown): boolean {
  return isError(error, "store_unavailable", "store_full");
}

/** Tries `write` until the store takes it; rejects with any other error, or when `signal` fires between two tries. */
export async function persist<T>(write: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    try {
      return await write();
    } catch (error) {
      if (!isStoreTrouble(error) || signal.aborted) throw error;
      await sleep(retryMs, signal);
    }
  }
}

import { sleep } from "../../async/index.ts";
import { isError } from "../../errors.ts";

/** between two tries, `ms` */
const retryMs = 500;

/** True for errors of the store that pass. */
export function isStoreTrouble(error: unknown): boolean {
  return isError(error, "store_unavailable", "store_full");
}

/** Makes a call of the store again until it passes; rejects with any other error, or when `signal` fires between two tries. */
export async function persist<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!isStoreTrouble(error) || signal.aborted) throw error;
      await sleep(retryMs, signal);
    }
  }
}

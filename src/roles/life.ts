/** How every role starts, drains and ends. */
import { sleep } from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import type { Log } from "../log.ts";

/** The process a role runs in. */
export interface RoleHost {
  version: string;
  /** One JSON line on stdout */
  announce(line: Readonly<Record<string, unknown>>): void;
  watchSignals(listener: (signal: string, count: number) => void): Disposable;
  /** SIGHUP: files are to be read again */
  watchHangups(listener: () => void): Disposable;
}

/** A role while it lives. */
export interface Living {
  /** Settles when it is over, however that came about; rejects when it failed. */
  over: Promise<void>;
  /** Finishes what runs, takes nothing new. */
  drain(): Promise<void>;
  /** Stops now. */
  abort(reason: SallyportError): void;
}

export const lifeCodes = { drained: 0, aborted: 3 } as const;

export interface LifeContext {
  host: Pick<RoleHost, "watchSignals">;
  log: Log;
  /** What a drain has not finished after this, in `ms`, is aborted; null: it takes as long as it takes, as without it */
  drainMs?: number | null;
}

/**
 * Serves until the role is over; the first signal drains it, the second, or the end of the drain's time, aborts it. Resolves with the
 * exit code.
 */
export async function live(role: Living, { host, log, drainMs = null }: LifeContext): Promise<number> {
  let aborted = false;
  const over = new AbortController();
  const failed = Promise.withResolvers<never>();
  const abort = (reason: SallyportError): void => {
    aborted = true;
    log.warn({ reason: reason.message }, "aborting");
    role.abort(reason);
  };
  const abortAfter = (ms: number): Promise<void> =>
    sleep(ms, over.signal).then(
      () => abort(new SallyportError("deadline_exceeded", `not drained within ${ms} ms`)),
      () => undefined,
    );
  using _watch = host.watchSignals((signal, count) => {
    if (count > 1) return abort(new SallyportError("shutting_down", `stopped by ${signal}`));
    log.info({ signal }, "draining");
    if (drainMs !== null) void abortAfter(drainMs);
    role.drain().catch(failed.reject);
  });
  try {
    await Promise.race([role.over, failed.promise]);
  } finally {
    over.abort();
  }
  return aborted ? lifeCodes.aborted : lifeCodes.drained;
}

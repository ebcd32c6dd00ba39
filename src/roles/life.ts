/** How every role starts, drains and ends. */
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

/** Serves until the role is over; the first signal drains it, the second aborts it. Resolves with the exit code. */
export async function live(role: Living, { host, log }: { host: RoleHost; log: Log }): Promise<number> {
  let aborted = false;
  const failed = Promise.withResolvers<never>();
  using _watch = host.watchSignals((signal, count) => {
    if (count === 1) {
      log.info({ signal }, "draining");
      role.drain().catch(failed.reject);
      return;
    }
    aborted = true;
    log.warn({ signal }, "aborting");
    role.abort(new SallyportError("shutting_down", `stopped by ${signal}`));
  });
  await Promise.race([role.over, failed.promise]);
  return aborted ? lifeCodes.aborted : lifeCodes.drained;
}

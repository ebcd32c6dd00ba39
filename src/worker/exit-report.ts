import { abortable, linkSignals, sleep } from "../async/index.ts";
import type { AttemptOutcome, LeaseRef } from "../protocol/index.ts";
import type { OutputStream } from "./output-stream.ts";
import type { Uplink } from "../uplink/index.ts";

/** What a job-runner knows; where its log ends and what of it is missing is known only once it is delivered. */
export type Outcome = Omit<AttemptOutcome, "logEnd" | "missing">;

export interface Report {
  ref: LeaseRef;
  outcome: Outcome;
  logEnd: () => number;
}

export interface ReportDeps {
  uplink: Uplink;
  output: OutputStream;
  /** resolves once the hub said that the lease is this worker's */
  confirmed: Promise<void>;
}

/**
 * Tells the hub how the attempt ended once the lease and all it printed are confirmed, and says it again on every channel and every
 * `resendMs` until `signal` fires, that is: until the hub answered. Never rejects.
 */
export async function reportExit(
  deps: ReportDeps,
  report: Report,
  resendMs: number,
  signal: AbortSignal,
): Promise<void> {
  try {
    await abortable(deps.confirmed, signal);
    const missing = await abortable(deps.output.delivered, signal);
    const outcome: AttemptOutcome = { ...report.outcome, logEnd: report.logEnd(), missing };
    for (;;) {
      const channel = await deps.uplink.after(undefined, signal);
      channel.send({ type: "lease.exit", ...report.ref, outcome });
      using either = linkSignals(signal);
      await Promise.race([deps.uplink.after(channel, either.signal), sleep(resendMs, either.signal)]).finally(
        () => either.abort(signal.reason),
      );
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

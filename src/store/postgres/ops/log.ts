import type { LeaseRef } from "../../../protocol/index.ts";
import { beyondEnd, type LogPart } from "../../rules.ts";
import type { RowCall } from "../calls.ts";
import { heldUnder } from "./transitions.ts";

/** The new durable end; rows and end change together. */
export function append(lease: LeaseRef, part: LogPart): RowCall<number | "superseded"> {
  return {
    kind: "rows",
    needs: { jobs: [lease.lease] },
    size: part.bytes.length,
    decide: (rows) => {
      const job = heldUnder(rows, lease);
      const attempt = job && rows.attempt(job.seq, job.attempts);
      if (job === undefined || attempt === undefined) return "superseded";
      const { logEnd: start, stdout: stdoutBefore, stderr: stderrBefore } = attempt;
      const added = beyondEnd(part, start);
      if (added === null) return start;
      const { bytes, stdout, stderr } = added;
      const stop = start + bytes.length;
      rows.addLog(job, {
        job: job.seq,
        attempt: attempt.attempt,
        start,
        stop,
        stdoutBefore,
        stderrBefore,
        stdout,
        stderr,
        bytes,
      });
      rows.updateAttempt(attempt, {
        logEnd: stop,
        stdout: stdoutBefore + stdout,
        stderr: stderrBefore + stderr,
      });
      return stop;
    },
  };
}

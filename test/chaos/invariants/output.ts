import type { Case } from "../case.ts";
import type { Violation } from "../checker.ts";
import type { FinalView } from "../history.ts";

type Result = NonNullable<FinalView["result"]>;

/** I4: what is kept of the output is the command's own, whole when the command came to its end, and counted right. */
export function output(subject: Case): Violation[] {
  return subject.jobs.flatMap((job) => [...kept(subject, job), ...shown(subject, job)]);
}

function kept(subject: Case, job: string): Violation[] {
  const plan = subject.planOf(job);
  return subject.about(job, "final").flatMap(({ view }) => {
    if (view === null || view.result === null || plan === undefined) return [];
    const { result, stdout, stderr } = view;
    const wrong = (message: string): Violation => subject.violation("I4", job, message);
    if (stdout.wrongAt !== -1) return [wrong(`stdout is not the job's own from byte ${stdout.wrongAt} on`)];
    if (stderr.wrongAt !== -1) return [wrong(`stderr is not the job's own from byte ${stderr.wrongAt} on`)];
    if (result.output.missing !== null) return missed(subject, job, result);
    const { stdoutBytes, stderrBytes, truncated } = result.output;
    if (stdout.length !== stdoutBytes || stderr.length !== stderrBytes)
      return [
        wrong(`${stdout.length}+${stderr.length} bytes kept, the result says ${stdoutBytes}+${stderrBytes}`),
      ];
    if (result.reason !== "exited" || truncated || stdout.length === plan.bytes) return [];
    return [wrong(`${stdout.length} bytes kept of a command that printed ${plan.bytes}`)];
  });
}

/** I7: a worker gives up only what was acknowledged, and what was acknowledged must be there. */
function missed(subject: Case, job: string, { reason, output: { missing } }: Result): Violation[] {
  if (reason === "worker_lost" || reason === "sandbox_lost") return [];
  const range = `[${missing?.from}, ${missing?.to})`;
  return [subject.violation("I7", job, `bytes ${range} of the log are missing though its worker lived`)];
}

/** Each follower sees each stream of each attempt from its start, without gap or repetition, byte for byte. */
function shown(subject: Case, job: string): Violation[] {
  const ends = new Map<string, number>();
  return subject.about(job, "piece").flatMap(({ follower, attempt, stream, from, to, exact }) => {
    const where = `${follower} ${attempt} ${stream}`;
    const before = ends.get(where) ?? 0;
    ends.set(where, to);
    if (from !== before)
      return [subject.violation("I4", job, `follower ${where}: byte ${from} came behind byte ${before}`)];
    return exact ? [] : [subject.violation("I4", job, `follower ${where}: wrong bytes in [${from}, ${to})`)];
  });
}

import type { Case } from "../case.ts";
import type { Violation } from "../checker.ts";

/** Ends that only a command that ran can have */
const ofCommands = new Set(["exited", "signaled", "oom", "output_limit"]);

/** I2: whoever reads a result reads the same one, and it is that of an attempt that really ran. */
export function results(subject: Case): Violation[] {
  return subject.jobs.flatMap((job) => {
    const seen = new Set(subject.about(job, "result").map(({ result }) => result));
    if (seen.size > 1)
      return [
        subject.violation("I2", job, `${seen.size} different results were told: ${[...seen].join(" and ")}`),
      ];
    return untrue(subject, job);
  });
}

function untrue(subject: Case, job: string): Violation[] {
  const result = subject.about(job, "final").at(-1)?.view?.result;
  if (result === undefined || result === null || !ofCommands.has(result.reason)) return [];
  const run = subject.runsOf(job).find(({ attempt }) => attempt === result.attempt);
  if (run === undefined)
    return [subject.violation("I2", job, `attempt ${result.attempt} has a result and never ran`)];
  const expected = subject.planOf(job)?.exitCode;
  return result.reason !== "exited" || result.exitCode === expected
    ? []
    : [subject.violation("I2", job, `exit code ${result.exitCode}, the command's was ${expected}`)];
}

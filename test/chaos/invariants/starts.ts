import { overlap, type Case, type Run } from "../case.ts";
import type { Violation } from "../checker.ts";

/** I3: what started, how often, and beside what. */
export function starts(subject: Case): Violation[] {
  return subject.jobs.flatMap((job) => {
    const runs = subject.runsOf(job);
    return [
      ...startedAgain(subject, job, runs),
      ...sideBySide(subject, job, runs),
      ...outlived(subject, job, runs),
    ];
  });
}

function startedAgain(subject: Case, job: string, runs: readonly Run[]): Violation[] {
  const { maxAttempts = 1 } = subject.planOf(job) ?? {};
  const attempts = new Set(runs.map(({ attempt }) => attempt));
  if (attempts.size < runs.length) {
    return [subject.violation("I3", job, `${runs.length} starts for ${attempts.size} attempts`)];
  }
  if (runs.length <= maxAttempts) return [];
  return [
    subject.violation("I3", job, `started ${runs.length} times, at most ${maxAttempts} were asked for`),
  ];
}

/** A process that stands still cannot know that its lease is over; its time does not count. */
function sideBySide(subject: Case, job: string, runs: readonly Run[]): Violation[] {
  return runs.flatMap((run, at) =>
    runs.slice(at + 1).flatMap((other) => {
      const both = { from: Math.max(run.from, other.from), to: Math.min(run.to, other.to) };
      const excused =
        subject.frozenWithin(run.pid, both.from, both.to) +
        subject.frozenWithin(other.pid, both.from, both.to);
      const ms = overlap(run, other) - excused;
      if (ms <= 1) return [];
      return [
        subject.violation(
          "I3",
          job,
          `attempts ${run.attempt} and ${other.attempt} ran side by side for ${ms.toFixed(0)} ms`,
        ),
      ];
    }),
  );
}

/** Nothing of a job runs on behind its end, save what a worker that is cut off may still stop in its own time. */
function outlived(subject: Case, job: string, runs: readonly Run[]): Violation[] {
  const ends = subject.about(job, "result").map(({ at }) => at);
  if (ends.length === 0) return [];
  const { selfStopMs, graceMs, slackMs } = subject.history.bounds;
  const bound = Math.min(...ends) + selfStopMs + graceMs + slackMs;
  return runs.flatMap((run) => {
    const late = run.to - bound - subject.frozenWithin(run.pid, bound, run.to);
    return late <= 0
      ? []
      : [
          subject.violation(
            "I3",
            job,
            `attempt ${run.attempt} ran on ${late.toFixed(0)} ms behind the job's end`,
          ),
        ];
  });
}

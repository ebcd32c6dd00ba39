import type { Case } from "../case.ts";
import type { Violation } from "../checker.ts";
import type { EntryOf } from "../history.ts";

/** I5: behind an acknowledged cancel nothing starts that was not on its way, and the job ends soon. */
export function cancels(subject: Case): Violation[] {
  return subject.of("cancel").flatMap((cancel) => {
    if (cancel.phase !== "ok") return [];
    return [...startsAfter(subject, cancel), ...endsLate(subject, cancel)];
  });
}

/** A grant of before the cancel may start until its worker can have heard of it; no later grant may at all. */
function startsAfter(subject: Case, { job, at, attempts = 0 }: EntryOf<"cancel">): Violation[] {
  const { heartbeatMs, selfStopMs, slackMs } = subject.history.bounds;
  return subject.runsOf(job).flatMap((run) => {
    if (run.from <= at) return [];
    const afterMs = (run.from - at).toFixed(0);
    if (run.attempt > attempts) {
      return [
        subject.violation(
          "I5",
          job,
          `attempt ${run.attempt} started ${afterMs} ms after the cancel was acknowledged`,
        ),
      ];
    }
    const bound = heartbeatMs + selfStopMs + slackMs;
    return run.from - subject.frozenWithin(run.pid, at, run.from) <= at + bound
      ? []
      : [
          subject.violation(
            "I5",
            job,
            `a held attempt started ${afterMs} ms after the cancel was acknowledged`,
          ),
        ];
  });
}

/** However cut off its worker was: by the end of the lease the job is over. While no hub runs nothing can be. */
function endsLate(subject: Case, { job, at }: EntryOf<"cancel">): Violation[] {
  const { leaseMs, graceMs, slackMs } = subject.history.bounds;
  const first = subject.about(job, "final").find(({ view }) => view?.result);
  const finishedAt = first?.view?.result?.finishedAt;
  if (first === undefined || finishedAt === undefined) return [];
  // The hub's wall clock may have been wrong; the end was no later than the first time anybody saw it.
  const seenAt = Math.min(...subject.about(job, "result").map(({ at: toldAt }) => toldAt));
  const endedAt = Math.min(seenAt, first.at - (first.wall - finishedAt));
  const bound = leaseMs + graceMs + 5_000 + slackMs + hubsAway(subject, at, endedAt);
  if (endedAt <= at + bound) return [];
  return [
    subject.violation("I5", job, `ended ${(endedAt - at).toFixed(0)} ms after its cancel was acknowledged`),
  ];
}

/** `ms` of [from, to] in which some hub, or what it keeps everything in, was down, stood still, was full or out of reach */
function hubsAway(subject: Case, from: number, to: number): number {
  const since = new Map<string, number>();
  let total = 0;
  for (const { at, where, away } of absences(subject)) {
    const began = since.get(where);
    if (away) since.set(where, began ?? at);
    else if (began !== undefined) {
      total += Math.max(0, Math.min(at, to) - Math.max(began, from)) + subject.history.bounds.slackMs;
      since.delete(where);
    }
  }
  return total;
}

function absences(subject: Case): { at: number; where: string; away: boolean }[] {
  const processes = subject
    .of("process")
    .filter(({ name }) => name.startsWith("hub") || name === "database")
    .map(({ at, name, what }) => ({ at, where: name, away: what === "ended" || what === "frozen" }));
  const faults = subject
    .of("fault")
    .filter(({ name }) => name.startsWith("store-") || name === "disk-full")
    .map(({ at, name, target, phase }) => ({ at, where: `${name} ${target}`, away: phase === "begin" }));
  return [...processes, ...faults].sort((a, b) => a.at - b.at);
}

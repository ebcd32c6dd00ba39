import type { Case } from "../case.ts";
import type { Violation } from "../checker.ts";

/** I1 and I7: an acknowledged submission is there in the end, under the one id its key was given, and over. */
export function ends(subject: Case): Violation[] {
  const lost = subject.jobs.flatMap((job) => {
    const finals = subject.about(job, "final");
    const gone = finals.find(({ view }) => view === null);
    if (gone !== undefined)
      return [subject.violation("I7", job, "an acknowledged job is not there any more")];
    const open = finals.length === 0 || finals.some(({ view }) => view?.result === null);
    return open ? [subject.violation("I1", job, "an acknowledged job never ended")] : [];
  });
  return [...lost, ...renamed(subject)];
}

function renamed(subject: Case): Violation[] {
  const ids = new Map<string, string>();
  return subject.of("submit").flatMap(({ key, job }) => {
    if (job === undefined) return [];
    const first = ids.get(key) ?? job;
    ids.set(key, first);
    return first === job ? [] : [subject.violation("I7", job, `key ${key} was ${first} before`)];
  });
}

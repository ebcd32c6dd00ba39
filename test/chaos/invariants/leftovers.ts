import type { Case } from "../case.ts";
import type { Violation } from "../checker.ts";

/** I6: when all is quiet and ended nothing is left, neither outside nor inside a worker that ended in order. */
export function leftovers(subject: Case): Violation[] {
  const outside = subject
    .of("left")
    .map(({ what, where }) => subject.violation("I6", where, `${where}: ${what}`));
  return [...outside, ...sandboxes(subject), ...endless(subject)];
}

/** A sandbox is gone when it was removed, or with the process that was its engine; but one that ends in order removes its own first. */
function sandboxes(subject: Case): Violation[] {
  const gone = new Set(subject.of("removed").map(({ pid, sandbox }) => `${pid} ${sandbox}`));
  const dead = new Set(
    subject
      .of("process")
      .flatMap(({ what, pid, order = false }) => (what === "ended" && !order ? [pid] : [])),
  );
  return subject
    .of("made")
    .filter(({ pid, sandbox }) => !gone.has(`${pid} ${sandbox}`) && !dead.has(pid))
    .map(({ job, sandbox, pid }) =>
      subject.violation("I6", job, `sandbox ${sandbox} of process ${pid} is left`),
    );
}

function endless(subject: Case): Violation[] {
  return subject.runs
    .filter(({ to }) => !Number.isFinite(to))
    .map(({ job, attempt }) => subject.violation("I6", job, `attempt ${attempt} still runs`));
}

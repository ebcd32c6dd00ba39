/** What a run came to, as text and as data. */
import type { Violation } from "./checker.ts";
import type { History } from "./history.ts";

export interface Summary {
  seed: number;
  jobs: number;
  faults: Record<string, number>;
  outcomes: Record<string, number>;
  starts: number;
  violations: Violation[];
}

export function summarize(history: History, violations: Violation[]): Summary {
  const of = (names: readonly string[]): Record<string, number> => {
    const counts = new Map<string, number>();
    for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
    return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  };
  const finals = new Map(
    history.entries.flatMap((entry) => (entry.type === "final" ? [[entry.job, entry.view] as const] : [])),
  );
  return {
    seed: history.seed,
    jobs: finals.size,
    faults: of(
      history.entries.flatMap((entry) =>
        entry.type === "fault" && entry.phase === "begin" ? [entry.name] : [],
      ),
    ),
    outcomes: of(
      [...finals.values()].map((view) => `${view?.state ?? "gone"} ${view?.result?.reason ?? "-"}`),
    ),
    starts: history.entries.filter(({ type }) => type === "start").length,
    violations,
  };
}

export function summaryText(summary: Summary): string {
  const table = (counts: Record<string, number>): string[] =>
    Object.entries(counts).map(([name, count]) => `  ${name.padEnd(28)} ${String(count).padStart(6)}`);
  const total = Object.values(summary.faults).reduce((sum, count) => sum + count, 0);
  return [
    `seed ${summary.seed}: ${summary.jobs} jobs, ${summary.starts} starts, ${total} faults, ${summary.violations.length} violations`,
    "faults",
    ...table(summary.faults),
    "outcomes",
    ...table(summary.outcomes),
    ...summary.violations.flatMap(violationLines),
  ].join("\n");
}

function violationLines({ invariant, about, message, piece }: Violation): string[] {
  const first = piece[0]?.at ?? 0;
  const lines = piece.map(({ at, wall: _wall, ...entry }) => {
    return `    ${(at - first).toFixed(0).padStart(7)} ms  ${JSON.stringify(entry).slice(0, 300)}`;
  });
  return [`VIOLATION ${invariant} of ${about}: ${message}`, ...lines];
}

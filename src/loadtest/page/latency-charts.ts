/** How latency is spread over the jobs. */
import { at } from "../quantiles.ts";
import type { Report } from "../report.ts";
import { samplesOf, type StageName } from "../stages.ts";
import { ms } from "../text.ts";
import { figure, type Series } from "./figure.ts";
import { chart, type Axis, type Point } from "./svg.ts";

const spans: readonly (Series & { stage: StageName })[] = [
  { stage: "total", name: "result", colour: "c1" },
  { stage: "firstByte", name: "first byte", colour: "c2" },
];
const barsPerDecade = 12;
const curvePoints = 160;

/** Empty when no job succeeded. */
export function latencyCharts(report: Report): string[] {
  const good = report.records.filter((job) => job.failure === null);
  const lines = spans
    .map((span) => ({ ...span, sorted: Float64Array.from(samplesOf(good, span.stage)).sort() }))
    .filter(({ sorted }) => sorted.length > 0);
  if (lines.length === 0) return [];
  const all = lines.flatMap(({ sorted }) => [sorted[0] ?? 0, sorted.at(-1) ?? 0]);
  const axis = latencyAxis(Math.min(...all), Math.max(...all));
  return [curve(lines, axis), histogram(lines[0]?.sorted ?? new Float64Array(), axis)];
}

type Line = Series & { sorted: Float64Array };

/** From below the least to above the most, so that nothing lies on the edge. */
function latencyAxis(least: number, most: number): Axis {
  const from = Math.max(0.01, least) / 1.15;
  return { label: "latency", kind: "log", from, to: Math.max(most, from * 2) * 1.1, format: tick };
}

function curve(lines: readonly Line[], y: Axis): string {
  const count = Math.max(...lines.map(({ sorted }) => sorted.length));
  // The last job of n stands for the share 1 − 1/n; no sample says what lies beyond.
  const deepest = 1 - 1 / Math.max(10, count);
  const x: Axis = {
    label: "share of jobs that were faster",
    kind: "odds",
    from: 0,
    to: deepest,
    format: share,
  };
  const asked = [0.5, 0.9, 0.99, 0.999, 1];
  return figure({
    title: "Latency by percentile",
    note: "From when a job was due until its first byte and its result were here. Every job that succeeded is in it, the slowest too.",
    legend: lines,
    svg: chart({ title: "Latency by percentile", description: describe(lines), x, y }, (canvas) =>
      lines
        .map(({ sorted, colour }, n) =>
          canvas.line(curveOf(sorted, deepest), n === 0 ? colour : `${colour} dashed`),
        )
        .join(""),
    ),
    table: {
      headings: ["percentile", ...lines.map(({ name }) => name)],
      rows: asked.map((part) => [
        part === 1 ? "max" : share(part),
        ...lines.map(({ sorted }) => ms(at(sorted, part))),
      ]),
    },
  });
}

/** Evenly over the axis, which has more room where fewer jobs are; ends at the slowest. */
function curveOf(sorted: Float64Array, deepest: number): Point[] {
  const points = Array.from({ length: curvePoints }, (_, n): Point => {
    const part = 1 - (1 - deepest) ** (n / (curvePoints - 1));
    return [part, at(sorted, part)];
  });
  return [...points, [deepest, at(sorted, 1)]];
}

function histogram(sorted: Float64Array, x: Axis): string {
  const ratio = 10 ** (1 / barsPerDecade);
  const first = Math.floor(Math.log(x.from) / Math.log(ratio));
  const counts = new Map<number, number>();
  for (const value of sorted) {
    const bin = Math.floor(Math.log(Math.max(x.from, value)) / Math.log(ratio));
    counts.set(bin, (counts.get(bin) ?? 0) + 1);
  }
  const bins = [...counts].sort(([a], [b]) => a - b);
  const rows = bins.map(([bin, count]) => ({
    from: ratio ** Math.max(first, bin),
    to: ratio ** (bin + 1),
    count,
  }));
  const most = Math.max(...rows.map(({ count }) => count));
  const range = ({ from, to }: { from: number; to: number }): string => `${ms(from)} – ${ms(to)}`;
  const y: Axis = { label: "jobs", kind: "linear", from: 0, to: most * 1.05, format: String };
  return figure({
    title: "Distribution of latency",
    note: "Jobs by the time until their result, on a logarithmic scale; all bars are equally wide in proportion.",
    legend: [],
    svg: chart(
      { title: "Distribution of latency", description: `most jobs in one bar: ${most}`, x, y },
      (canvas) =>
        rows
          .map((row) =>
            canvas.bar({ ...row, low: 0, high: row.count }, "c1", `${range(row)}: ${row.count} jobs`),
          )
          .join(""),
    ),
    table: { headings: ["latency", "jobs"], rows: rows.map((row) => [range(row), String(row.count)]) },
  });
}

function describe(lines: readonly Line[]): string {
  return lines
    .map(({ name, sorted }) => `${name} p50 ${ms(at(sorted, 0.5))}, p99 ${ms(at(sorted, 0.99))}`)
    .join("; ");
}

function share(part: number): string {
  return `${Number((part * 100).toFixed(3))} %`;
}

export function tick(value: number): string {
  if (value === 0) return "0";
  return value < 1_000 ? `${Number(value.toPrecision(3))} ms` : `${Number((value / 1_000).toPrecision(3))} s`;
}

/** The run over time: latency, stages, concurrency, rates and the host. */
import { formatSize } from "../../units.ts";
import { largest } from "../quantiles.ts";
import type { Report } from "../report.ts";
import type { Slice } from "../series.ts";
import type { StageName } from "../stages.ts";
import { figure, type Series } from "./figure.ts";
import { tick } from "./latency-charts.ts";
import { chart, type Axis, type Canvas, type Point } from "./svg.ts";

/** A series, and its value at one point; null where there is none. */
type Track<T> = Series & { of: (item: T) => number | null };

interface TimeChart<T> {
  title: string;
  note: string;
  items: readonly T[];
  /** What an item covers, `ms`; a moment begins where it ends */
  span: (item: T) => { from: number; to: number };
  tracks: readonly Track<T>[];
  /** Drawn on top of one another */
  stacked?: boolean;
  y: { label: string; format: (value: number) => string; most?: number };
  elapsedMs: number;
}

const stageTracks: readonly (Series & { stage: StageName })[] = [
  { stage: "wait", name: "wait", colour: "c7" },
  { stage: "submit", name: "submit", colour: "c6" },
  { stage: "queue", name: "queue", colour: "c3" },
  { stage: "adopt", name: "adopt", colour: "c2" },
  { stage: "create", name: "create", colour: "c4" },
  { stage: "run", name: "run", colour: "c1" },
  { stage: "exit", name: "exit", colour: "c5" },
];

/** A chart that does not yet know what time it covers. */
type SliceChart = Pick<TimeChart<Slice>, "title" | "note" | "tracks" | "stacked" | "y">;

const perSecond = { label: "per second", format: short };
const latency = { label: "latency", format: tick };

const latencyOverTime: SliceChart = {
  title: "Latency over time",
  note: "Of the jobs that ended in each slice of time, whatever their result.",
  tracks: [
    { name: "p50", colour: "c1", of: (slice) => slice.p50 },
    { name: "p99", colour: "c3", of: (slice) => slice.p99 },
    { name: "max", colour: "c4", of: (slice) => slice.max },
  ],
  y: latency,
};

const concurrency: SliceChart = {
  title: "Concurrency",
  note: "The most jobs at one time in each slice: sent and not answered, and with their command started.",
  tracks: [
    { name: "outstanding", colour: "c3", of: (slice) => slice.outstanding },
    { name: "running", colour: "c1", of: (slice) => slice.running },
  ],
  y: { label: "jobs", format: short },
};

const throughput: SliceChart = {
  title: "Throughput",
  note: "Jobs that ended, by whether they succeeded.",
  tracks: [
    { name: "succeeded", colour: "c1", of: (slice) => slice.succeeded },
    { name: "failed", colour: "c4", of: (slice) => slice.failed },
  ],
  stacked: true,
  y: perSecond,
};

export function timeCharts(report: Report): string[] {
  const { slices, elapsedMs } = report;
  const over = { items: slices, elapsedMs, span: (slice: Slice) => slice };
  const seen = slices.some((slice) => slice.made !== null) ? [creates] : [];
  const charts = [latencyOverTime, stages(slices), concurrency, throughput, starts, ...seen];
  return [...charts.map((parts) => timeChart({ ...over, ...parts })), ...hostCharts(report)];
}

/** Only those that some job went through. */
function stages(slices: readonly Slice[]): SliceChart {
  return {
    title: "Stages over time",
    note: "Where the mean job of each slice spent its time; the stages add up to it.",
    tracks: stageTracks
      .filter(({ stage }) => slices.some((slice) => slice.stages[stage] !== undefined))
      .map((track) => ({ ...track, of: (slice) => slice.stages[track.stage] ?? null })),
    stacked: true,
    y: latency,
  };
}

const starts: SliceChart = {
  title: "Warm hits",
  note: "Commands that started in a warm sandbox, and in one that was made for them.",
  tracks: [
    { name: "warm", colour: "c2", of: (slice) => slice.warm },
    { name: "made for the job", colour: "c4", of: (slice) => slice.cold },
  ],
  stacked: true,
  y: perSecond,
};

const creates: SliceChart = {
  title: "Creates per second",
  note: "Sandboxes the engine made, for jobs and for pools.",
  tracks: [{ name: "made", colour: "c5", of: (slice) => slice.made }],
  stacked: true,
  y: perSecond,
};

function hostCharts({ hostPoints, elapsedMs, host }: Report): string[] {
  if (hostPoints.length === 0) return [];
  const points = {
    items: hostPoints,
    elapsedMs,
    span: ({ at }: Report["hostPoints"][number]) => ({ from: at, to: at }),
  };
  return [
    timeChart({
      ...points,
      title: "Processors of this host",
      note: `Share of ${host.processors} processors in use by everything that runs here.`,
      tracks: [
        { name: "programs", colour: "c1", of: (point) => point.user },
        { name: "kernel", colour: "c3", of: (point) => point.system },
        { name: "waiting for disks", colour: "c4", of: (point) => point.iowait },
      ],
      stacked: true,
      y: { label: "share", format: (value) => `${Math.round(value * 100)} %`, most: 1 },
    }),
    ...(hostPoints.every(({ waiting }) => waiting === null)
      ? []
      : [
          timeChart({
            ...points,
            title: "Want of processors",
            note: "Share of the time in which something on this host waited for a processor.",
            tracks: [{ name: "somebody waits", colour: "c2", of: (point) => point.waiting ?? 0 }],
            y: { label: "share", format: (value) => `${Math.round(value * 100)} %`, most: 1 },
          }),
        ]),
    timeChart({
      ...points,
      title: "Memory of this host",
      note: `In use of ${formatSize(host.memoryBytes)}, by everything that runs here.`,
      tracks: [{ name: "in use", colour: "c1", of: (point) => point.memoryUsedBytes / 2 ** 30 }],
      y: { label: "GiB", format: short },
    }),
    timeChart({
      ...points,
      title: "The load generator itself",
      note: "Share of one processor; near 100 % the latencies above are partly its own.",
      tracks: [{ name: "processor", colour: "c5", of: (point) => point.generator }],
      y: { label: "share", format: (value) => `${Math.round(value * 100)} %`, most: 1 },
    }),
  ];
}

function timeChart<T>(parts: TimeChart<T>): string {
  const { title, note, items, tracks, stacked = false, y: vertical, elapsedMs } = parts;
  const values = tracks.map((track) => items.map((item) => track.of(item)));
  const layers = stack(values);
  const highest = vertical.most ?? most((stacked ? layers : values).flat()) * 1.08;
  const x: Axis = {
    label: "since the start",
    kind: "linear",
    from: 0,
    to: Math.max(1, elapsedMs),
    format: clock,
  };
  const y: Axis = {
    label: vertical.label,
    kind: "linear",
    from: 0,
    to: highest || 1,
    format: vertical.format,
  };
  const spans = items.map((item) => parts.span(item));
  const description = tracks
    .map(({ name }, n) => `${name} at most ${vertical.format(most(values[n] ?? []))}`)
    .join(", ");
  return figure({
    title,
    note,
    legend: tracks,
    svg: chart({ title, description, x, y }, (canvas) =>
      tracks
        .map(({ name, colour }, n) => {
          if (!stacked) return canvas.line(pointsOf(spans, values[n] ?? []), colour);
          const [low, high] = [layers[n - 1] ?? [], layers[n] ?? []];
          return layer(canvas, spans, { low, high, colour, says: (ms) => `${name}: ${vertical.format(ms)}` });
        })
        .join(""),
    ),
    table: {
      headings: ["time", ...tracks.map(({ name }) => name)],
      rows: spans.map((span, at) => [
        clock(middle(span)),
        ...values.map((line) => cell(line[at] ?? null, vertical.format)),
      ]),
    },
  });
}

type Span = ReturnType<TimeChart<unknown>["span"]>;

interface Layer {
  low: readonly number[];
  high: readonly number[];
  colour: string;
  says: (value: number) => string;
}

/** Columns where items cover time, one area where they are moments. */
function layer(canvas: Canvas, spans: readonly Span[], { low, high, colour, says }: Layer): string {
  if (spans.every(({ from, to }) => from === to)) {
    const ground = spans.map((_, n) => low[n] ?? 0);
    return canvas.band(pointsOf(spans, ground), pointsOf(spans, high), colour);
  }
  const columns = spans.map((span, n) => ({ ...span, low: low[n] ?? 0, high: high[n] ?? 0 }));
  return columns
    .filter((column) => column.high > column.low)
    .map((column) => canvas.bar(column, colour, says(column.high - column.low)))
    .join("");
}

function pointsOf(spans: readonly Span[], values: readonly (number | null)[]): Point[] {
  return spans.flatMap((span, n) => {
    const value = values[n] ?? null;
    return value === null ? [] : [[middle(span), value] as const];
  });
}

function middle({ from, to }: Span): number {
  return (from + to) / 2;
}

function most(values: readonly (number | null)[]): number {
  return largest(values.filter((value) => value !== null));
}

function cell(value: number | null, format: (value: number) => string): string {
  return value === null ? "–" : format(value);
}

/** Each layer on the sum of those before it. */
function stack(layers: readonly (readonly (number | null)[])[]): number[][] {
  const sums: number[][] = [];
  for (const layer of layers) sums.push(layer.map((value, n) => (value ?? 0) + (sums.at(-1)?.[n] ?? 0)));
  return sums;
}

function clock(at: number): string {
  return `${Number((at / 1_000).toFixed(2))} s`;
}

/** At most three figures that count. */
function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}

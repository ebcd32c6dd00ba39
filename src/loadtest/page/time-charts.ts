/** The run over time: latency, stages, concurrency, rates and the host. */
import { formatSize } from "../../units.ts";
import { largest } from "../quantiles.ts";
import type { Report } from "../report.ts";
import type { Slice } from "../series.ts";
import { ms, number } from "../text.ts";
import type { StageName } from "../stages.ts";
import { figure, type Series } from "./figure.ts";
import { chart, type Axis, type Point } from "./svg.ts";

/** A series, and its value at one point; null where there is none. */
type Track<T> = Series & { of: (item: T) => number | null };

interface TimeChart<T> {
  title: string;
  note: string;
  items: readonly T[];
  /** Where an item stands, `ms` */
  when: (item: T) => number;
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

const perSecond = { label: "per second", format: number };
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
  y: { label: "jobs", format: number },
};

const throughput: SliceChart = {
  title: "Throughput",
  note: "Jobs that arrived, succeeded and failed.",
  tracks: [
    { name: "arrived", colour: "c7", of: (slice) => slice.arrivals },
    { name: "succeeded", colour: "c1", of: (slice) => slice.succeeded },
    { name: "failed", colour: "c4", of: (slice) => slice.failed },
  ],
  y: perSecond,
};

export function timeCharts(report: Report): string[] {
  const { slices, elapsedMs } = report;
  const over = { items: slices, elapsedMs, when: (slice: Slice) => (slice.from + slice.to) / 2 };
  const charts = [latencyOverTime, stages(slices), concurrency, throughput, sandboxes(slices)];
  return [...charts.map((parts) => timeChart({ ...over, ...parts })), ...hostCharts(report)];
}

/** Only those that some job went through. */
function stages(slices: readonly Slice[]): SliceChart {
  return {
    title: "Stages over time",
    note: "Where the mean job of each slice spent its time; the stages add up to it.",
    tracks: stageTracks
      .filter(({ stage }) => slices.some((slice) => slice.stages[stage] !== undefined))
      .map((track) => ({ ...track, of: (slice) => slice.stages[track.stage] ?? 0 })),
    stacked: true,
    y: latency,
  };
}

function sandboxes(slices: readonly Slice[]): SliceChart {
  const made: Track<Slice> = { name: "made, for jobs and pools", colour: "c5", of: (slice) => slice.made };
  return {
    title: "Sandboxes",
    note: "Commands started in a warm sandbox and in one made for them, and sandboxes the engine made in all.",
    tracks: [
      { name: "warm hits", colour: "c2", of: (slice) => slice.warm },
      { name: "created for a job", colour: "c4", of: (slice) => slice.cold },
      ...(slices.some((slice) => slice.made !== null) ? [made] : []),
    ],
    y: perSecond,
  };
}

function hostCharts({ hostPoints, elapsedMs, host }: Report): string[] {
  if (hostPoints.length === 0) return [];
  const points = { items: hostPoints, elapsedMs, when: (point: Report["hostPoints"][number]) => point.at };
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
    timeChart({
      ...points,
      title: "Memory of this host",
      note: `In use of ${formatSize(host.memoryBytes)}, by everything that runs here.`,
      tracks: [{ name: "in use", colour: "c1", of: (point) => point.memoryUsedBytes }],
      y: { label: "memory", format: (value) => `${number(value / 2 ** 30)} GiB` },
    }),
  ];
}

function timeChart<T>(parts: TimeChart<T>): string {
  const { title, note, items, when, tracks, y: vertical, elapsedMs } = parts;
  const lines = tracks.map((track) => ({ ...track, values: items.map((item) => track.of(item)) }));
  const layers = parts.stacked === true ? stack(lines.map(({ values }) => values)) : [];
  const drawn = parts.stacked === true ? layers : lines.map(({ values }) => values);
  const most = vertical.most ?? largest(drawn.flat().filter((value) => value !== null)) * 1.08;
  const x: Axis = {
    label: "since the start",
    kind: "linear",
    from: 0,
    to: Math.max(1, elapsedMs),
    format: clock,
  };
  const y: Axis = { label: vertical.label, kind: "linear", from: 0, to: most || 1, format: vertical.format };
  const points = (values: readonly (number | null)[]): Point[] =>
    values.flatMap((value, n) => {
      const item = items[n];
      return value === null || item === undefined ? [] : [[when(item), value] as const];
    });
  const ground = items.map((item): Point => [when(item), 0]);
  const highest = lines.map(
    ({ name, values }) => `${name} at most ${vertical.format(largest(values.filter((v) => v !== null)))}`,
  );
  return figure({
    title,
    note,
    legend: tracks,
    svg: chart({ title, description: highest.join(", "), x, y }, (canvas) =>
      lines
        .map(({ colour, values }, n) => {
          if (parts.stacked !== true) return canvas.line(points(values), colour);
          const below = layers[n - 1];
          return canvas.band(below === undefined ? ground : points(below), points(layers[n] ?? []), colour);
        })
        .join(""),
    ),
    table: {
      headings: ["time", ...tracks.map(({ name }) => name)],
      rows: items.map((item, n) => [
        clock(when(item)),
        ...lines.map(({ values }) =>
          values[n] === null || values[n] === undefined ? "–" : vertical.format(values[n]),
        ),
      ]),
    },
  });
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

function tick(value: number): string {
  return value === 0 ? "0" : ms(value);
}

/** The report for people at a terminal. */
import { formatDuration, formatSize } from "../units.ts";
import type { Progress } from "./loadtest.ts";
import { quantiles, type Quantiles } from "./quantiles.ts";
import { leakCount, type LeakReport } from "./leaks.ts";
import { held, type Report } from "./report.ts";
import { samplesOf, stageMeanings, stageNames } from "./stages.ts";

export interface TextTable {
  headings: readonly string[];
  rows: readonly (readonly string[])[];
}

/** Jobs whose latency the progress line tells: the last ones */
const recentJobs = 500;

export function progressLine({ elapsedMs, outstanding, records }: Progress, total: number): string {
  const failed = records.filter((job) => job.failure !== null).length;
  const latency = quantiles(samplesOf(records.slice(-recentJobs), "total"));
  const parts = [
    formatDuration(Math.round(elapsedMs / 100) * 100),
    `${records.length}${Number.isFinite(total) ? `/${total}` : ""} done`,
    `${failed} failed`,
    `${outstanding} outstanding`,
    `${number((records.length * 1_000) / Math.max(1, elapsedMs))} jobs/s`,
  ];
  if (latency !== null) parts.push(`p50 ${ms(latency.p50)} p99 ${ms(latency.p99)}`);
  return parts.join(" · ");
}

/** One line: whether it held. */
export function verdict(report: Report): string {
  const { finished, succeeded } = report.jobs;
  const stopped = report.interrupted ? ", stopped before the end" : "";
  return `${held(report) ? "held" : "NOT held"}: ${succeeded}/${finished} jobs succeeded${stopped}; ${describeLeaks(report.leaks)}`;
}

export function describeLeaks(leaks: LeakReport): string {
  if (leaks.unchecked !== null) return `left behind: not known (${leaks.unchecked})`;
  const counts = [
    `${leaks.sandboxes} containers`,
    `${leaks.volumes} volumes`,
    `${leaks.networks} networks`,
    leaks.processes === null ? "processes cannot be seen" : `${leaks.processes} processes`,
  ];
  const apart = [
    ...(leaks.warm > 0 ? [`${leaks.warm} wait warm in pools`] : []),
    ...(leaks.held > 0 ? [`${leaks.held} run other jobs`] : []),
  ];
  return `${leakCount(leaks)} left behind (${[...counts, ...apart].join(", ")})`;
}

export function reportTables(report: Report): TextTable[] {
  const tables: TextTable[] = [
    { headings: ["STAGE", "N", "P50", "P90", "P99", "P99.9", "MAX", ""], rows: latencyRows(report) },
    { headings: ["FIGURE", "VALUE"], rows: figures(report) },
  ];
  if (report.failures.length > 0) {
    tables.push({ headings: ["FAILURE", "JOBS", "FIRST MESSAGE", "SUCH AS"], rows: failureRows(report) });
  }
  return tables;
}

export function latencyRows({ latency, failedLatency }: Report): string[][] {
  const rows = stageNames.flatMap((stage) => {
    const found = latency[stage];
    const label = stage === "firstByte" ? "first byte" : stage;
    return found === null ? [] : [[label, ...quantileCells(found), stageMeanings[stage]]];
  });
  if (failedLatency === null) return rows;
  return [...rows, ["total, failed", ...quantileCells(failedLatency), "the same, of the jobs that failed"]];
}

export function failureRows({ failures }: Report): string[][] {
  return failures.map(({ reason, count, message, jobs }) => [
    reason,
    String(count),
    message ?? "",
    jobs.join(" "),
  ]);
}

/** What else there is to say, as name and value. */
export function figures(report: Report): [string, string][] {
  const { rates, sandboxes, calls, peak, generator, load, elapsedMs, job } = report;
  const begun = sandboxes.warm + sandboxes.cold;
  const hits = begun === 0 ? "" : ` (${number((sandboxes.warm * 100) / begun)} % of ${begun})`;
  return [
    ["mode", `${report.mode}, ${describeLoad(load)}`],
    ["took", formatDuration(Math.round(elapsedMs))],
    ["jobs/s", `${number(rates.jobsPerS)} succeeded`],
    ["creates/s", describeCreates(report)],
    ["warm hits", `${sandboxes.warm}${hits}`],
    ...("mcp" in job ? [["MCP calls", String(calls)] satisfies [string, string]] : []),
    ["peak", `${peak.outstanding} outstanding, ${peak.running} running at once`],
    ["largest job", `${formatSize(peak.maxRssBytes)} resident`],
    ["host", describeHost(report)],
    ["responsiveness", describeResponsiveness(report)],
    ["generator", `at most ${percent(generator.busiest)} of one processor`],
  ];
}

export function describeLoad({ concurrency, total, durationMs, ratePerS }: Report["load"]): string {
  const parts =
    ratePerS === null
      ? [`${concurrency} callers`]
      : [`${ratePerS} arrivals/s`, `at most ${concurrency} outstanding`];
  if (total !== null) parts.push(`${total} jobs`);
  if (durationMs !== null) parts.push(`for ${formatDuration(durationMs)}`);
  return parts.join(", ");
}

function describeCreates({ rates, sandboxes }: Report): string {
  if (rates.createsPerS === null) return "not known: the engine cannot be seen from here";
  const missed = sandboxes.incomplete ? ", or more: the engine's word was interrupted" : "";
  return `${number(rates.createsPerS)} (${sandboxes.made} sandboxes made for jobs and pools${missed})`;
}

/** Whether the host itself was short of processors, so that latencies are partly its own. */
function describeResponsiveness({ responsiveness, generator }: Report): string {
  const { p50, p99, max } = generator.loopDelayMs;
  const timers = `timers late by p50 ${ms(p50)}, p99 ${ms(p99)}, max ${ms(max)}`;
  const { waiting, saturated } = responsiveness;
  const waits = waiting === null ? "" : `; something waited for a processor ${percent(waiting)} of the time`;
  return `${saturated ? "SATURATED" : "not saturated"}: ${timers}${waits}`;
}

function describeHost({ hostPoints, host, responsiveness: { busy } }: Report): string {
  if (busy === null) return "cannot be read here";
  const memory = Math.max(...hostPoints.map((point) => point.memoryUsedBytes));
  return `${percent(busy)} of ${host.processors} processors on average, at most ${formatSize(memory)} of ${formatSize(host.memoryBytes)} memory in use`;
}

function quantileCells({ n, p50, p90, p99, p999, max }: Quantiles): string[] {
  return [String(n), ...[p50, p90, p99, p999, max].map(ms)];
}

/** Three figures at least, in the unit that reads best. */
export function ms(value: number): string {
  if (value < 9.995) return `${value.toFixed(2)}ms`;
  if (value < 99.95) return `${value.toFixed(1)}ms`;
  if (value < 999.5) return `${value.toFixed(0)}ms`;
  return `${number(value / 1_000)}s`;
}

export function number(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function percent(share: number): string {
  return `${number(share * 100)} %`;
}

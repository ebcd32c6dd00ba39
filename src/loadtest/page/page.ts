/** The report as one page that needs nothing else: no request, no script, values escaped. */
import { formatDuration, formatSize } from "../../units.ts";
import { leakCount } from "../leaks.ts";
import { held, type Report } from "../report.ts";
import {
  describeLeaks,
  describeLoad,
  failureRows,
  figures,
  latencyRows,
  ms,
  number,
  verdict,
} from "../text.ts";
import { tableOf } from "./figure.ts";
import { latencyCharts } from "./latency-charts.ts";
import { style } from "./style.ts";
import { escape } from "./svg.ts";
import { timeCharts } from "./time-charts.ts";

export function renderPage(report: Report): string {
  const title = `Load test of ${report.job.profile}`;
  const ok = held(report);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,"><title>${escape(title)}</title><style>${style}</style></head><body>
<header><h1>${escape(title)}</h1>
<p>${escape(`${report.mode}, ${describeLoad(report.load)} · ${report.startedAt.replace("T", " ").slice(0, 19)} UTC`)}</p>
<p class="verdict${ok ? " held" : ""}"><b>${ok ? "✔" : "✘"}</b> ${escape(verdict(report))}</p></header>
<dl class="tiles">${tiles(report)}</dl>
<main>
<section class="numbers whole"><h2>Stages, of the jobs that succeeded</h2>${tableOf(
    ["stage", "n", "p50", "p90", "p99", "p99.9", "max", "from – until"],
    latencyRows(report),
    "Latency of each stage, no job left out",
  )}</section>
${failures(report)}
<h2>Latency</h2><div class="charts">${latencyCharts(report).join("\n")}</div>
<h2>Over time</h2><div class="charts">${timeCharts(report).join("\n")}</div>
<div class="columns wide whole"><section><h2>Figures</h2>${tableOf(["figure", "value"], figures(report), "Figures")}</section>
<section><h2>Left behind</h2><p>${escape(describeLeaks(report.leaks))}</p>${leftBehind(report)}
<h2>Configuration and host</h2>${tableOf(["setting", "value"], facts(report), "Configuration and host")}</section></div>
</main></body></html>
`;
}

function tiles(report: Report): string {
  const { jobs, latency, rates, sandboxes, peak, generator, responsiveness, leaks } = report;
  const begun = sandboxes.warm + sandboxes.cold;
  const left = leaks.unchecked === null ? String(leakCount(leaks)) : "unseen";
  const shown: [string, string, boolean?][] = [
    ["succeeded", `${jobs.succeeded} / ${jobs.finished}`],
    ["failed", String(jobs.failed), jobs.failed > 0],
    ["result p50", latency.total === null ? "–" : ms(latency.total.p50)],
    ["result p99", latency.total === null ? "–" : ms(latency.total.p99)],
    ["result max", latency.total === null ? "–" : ms(latency.total.max)],
    ["first byte p50", latency.firstByte === null ? "–" : ms(latency.firstByte.p50)],
    ["jobs/s", number(rates.jobsPerS)],
    ["creates/s", rates.createsPerS === null ? "–" : number(rates.createsPerS)],
    ["warm hits", begun === 0 ? "–" : `${number((sandboxes.warm * 100) / begun)} %`],
    ["peak running", String(peak.running)],
    ["timers late p99", ms(generator.loopDelayMs.p99), responsiveness.saturated],
    ["left behind", left, leakCount(leaks) > 0],
  ];
  return shown
    .map(
      ([name, value, bad = false]) =>
        `<div><dt>${escape(name)}</dt><dd${bad ? ' class="bad"' : ""}>${escape(value)}</dd></div>`,
    )
    .join("");
}

function failures(report: Report): string {
  if (report.failures.length === 0) return "";
  const table = tableOf(
    ["failure", "jobs", "first message", "such as"],
    failureRows(report),
    "Failures by reason",
  );
  return `<section class="wide whole"><h2>Failures by reason</h2>${table}</section>`;
}

function leftBehind({ leaks }: Report): string {
  if (leaks.unchecked !== null) return "";
  const { sandboxes, volumes, networks, processes, followed, waitedMs } = leaks;
  const rows = [
    ["containers", String(sandboxes)],
    ["volumes", String(volumes)],
    ["networks", String(networks)],
    ["processes", processes === null ? "cannot be seen from here" : String(processes)],
    ["sandboxes followed", String(followed)],
    ["looked for", formatDuration(Math.round(waitedMs))],
  ];
  return tableOf(["what", "left"], rows, "Left behind");
}

function facts({ job, hub, workers, host, load }: Report): string[][] {
  const { profile, ...work } = job;
  return [
    ["profile", profile],
    ["job", JSON.stringify(work)],
    ["load", describeLoad(load)],
    ["hub", hub],
    [
      "workers",
      workers.map(({ id, version }) => `${id} (${version ?? "unknown version"})`).join(", ") || "none",
    ],
    ["processors", `${host.processors} × ${host.processor}`],
    ["memory", formatSize(host.memoryBytes)],
    ["system", `${host.system}, Node ${host.node}`],
  ];
}

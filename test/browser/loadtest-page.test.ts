/** The load test's page in a real browser: it opens, loads nothing, says everything, in both colour schemes. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { chromium, type Browser, type Page } from "playwright-core";
import { renderPage } from "../../src/loadtest/index.ts";
import type { HostPoint } from "../../src/loadtest/host.ts";
import { makeReport, type Report } from "../../src/loadtest/report.ts";
import { findChromium } from "../helpers/chromium.ts";
import { end, record, run } from "../unit/loadtest/samples.ts";

const { path: executablePath, skip } = findChromium();
/** Run in the page; as text, because the types of a page are not those of this program. */
const colours = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]";
const labelsOutside = `[...document.querySelectorAll("svg text")].filter((text) => {
  const [inner, outer] = [text.getBoundingClientRect(), text.closest("svg").getBoundingClientRect()];
  return inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.bottom > outer.bottom + 1;
}).map((text) => text.textContent)`;
const tilesOver = `[...document.querySelectorAll("dl.tiles dd")]
  .filter((tile) => tile.scrollWidth > tile.clientWidth).map((tile) => tile.textContent)`;
const scrollsSideways = "document.documentElement.scrollWidth > innerWidth";

const hostile = `</title><script>document.title="run"</script><img src="http://127.0.0.1:9/x">"'&`;

let browser: Browser | undefined;
let dir: string;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "sallyport-page-"));
  if (skip === false) browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
});

after(async () => {
  await browser?.close();
  await rm(dir, { recursive: true, force: true });
});

/** Jobs of every kind, spread like real ones, with hostile text wherever text comes from outside. */
function report(): Report {
  const records = Array.from({ length: 1_200 }, (_, n) => {
    const took = 20 + ((n * 7_919) % 97) ** 2 / 20 + (n % 100 === 0 ? 2_000 : 0);
    const warm = n % 3 !== 0;
    const { usage, timings, calls } = end({
      timings: { queuedMs: took / 4, startMs: took / 4, runMs: took / 4, warm },
    });
    const failed = n % 50 === 1;
    return record(n * 20, took, {
      end: { usage, timings, calls },
      failure: failed ? hostile : null,
      message: failed ? hostile : null,
    });
  });
  const hostPoints = Array.from({ length: 50 }, (_, n): HostPoint => {
    const busy = 0.3 + (n % 10) / 40;
    return {
      at: n * 250,
      user: busy,
      system: busy / 2,
      iowait: 0.02,
      memoryUsedBytes: 2 ** 31 + n * 2 ** 24,
      generator: 0.1,
      waiting: 0.3,
    };
  });
  const seen = Array.from({ length: 200 }, (_, n) => ({
    id: String(n),
    madeAt: Date.UTC(2026, 0, 2, 3, 4, 5) + n * 60,
  }));
  return makeReport(
    run(records, {
      elapsedMs: 13_000,
      job: { profile: hostile, command: ["echo", hostile] },
      hostPoints,
      view: { seen, complete: true },
      workers: [{ id: hostile, version: hostile, held: 0, warm: {}, profiles: [] }],
    }),
  );
}

async function open(html: string, colorScheme: "light" | "dark"): Promise<{ page: Page; trouble: string[] }> {
  assert.ok(browser);
  const file = join(dir, `${colorScheme}.html`);
  await writeFile(file, html);
  const page = await browser.newPage({ colorScheme, viewport: { width: 1_280, height: 900 } });
  const trouble: string[] = [];
  page.on("console", (message) => trouble.push(message.text()));
  page.on("pageerror", (error) => trouble.push(error.message));
  page.on("request", (request) => {
    if (request.url() !== pathToFileURL(file).href) trouble.push(request.url());
  });
  await page.goto(pathToFileURL(file).href);
  return { page, trouble };
}

for (const scheme of ["light", "dark"] as const) {
  test(`${scheme}: opens without console messages, requests or running what it shows`, { skip }, async () => {
    const { page, trouble } = await open(renderPage(report()), scheme);
    assert.deepEqual(trouble, []);
    assert.ok((await page.title()).includes("<script>"), "hostile text is shown as text");
    assert.equal(await page.locator("script, img, iframe, link[rel=stylesheet]").count(), 0);
    const [paper, ink] = await page.evaluate<[string, string]>(colours);
    const bright = (colour: string): number => Number(/\d+/.exec(colour)?.[0]);
    assert.equal(bright(paper) > bright(ink), scheme === "light");
    const shot = await page.screenshot({ fullPage: true });
    if (process.env["SCREENSHOTS"] !== undefined)
      await writeFile(join(process.env["SCREENSHOTS"], `${scheme}.png`), shot);
    await page.close();
  });
}

test(
  "every chart has a name, a description and its numbers as a table; nothing lies outside its chart or tile",
  { skip },
  async () => {
    const { page } = await open(renderPage(report()), "light");
    const charts = page.locator("figure");
    assert.ok((await charts.count()) >= 9);
    for (const chart of await charts.all()) {
      const name = await chart.locator("h3").textContent();
      assert.match((await chart.locator("svg").getAttribute("aria-label")) ?? "", new RegExp(`^${name}: .+`));
      assert.ok((await chart.locator("tbody tr").count()) > 0, `${name} has numbers`);
    }
    assert.deepEqual(await page.evaluate(labelsOutside), []);
    assert.deepEqual(await page.evaluate(tilesOver), []);
    await page.close();
  },
);

test(
  "a run without one success, without an engine and without /proc still makes a page; it fits a narrow window",
  { skip },
  async () => {
    const failed = makeReport(
      run([record(0, 10, { failure: "queue_full", startedAt: null, firstByteAt: null, end: null })]),
    );
    const { page, trouble } = await open(renderPage(failed), "light");
    assert.deepEqual(trouble, []);
    assert.equal(await page.getByText("queue_full").count(), 1);
    assert.ok(!(await page.content()).includes("NaN"));
    await page.setViewportSize({ width: 390, height: 800 });
    assert.equal(await page.evaluate(scrollsSideways), false);
    await page.close();
  },
);

/** One chart with its heading, its legend and its numbers as a table, for reading without seeing. */
import { escape } from "./svg.ts";

export interface Series {
  name: string;
  /** Class of the style: `c1` … `c7` */
  colour: string;
}

export interface FigureParts {
  title: string;
  /** One sentence: what the chart says and how it is meant */
  note: string;
  legend: readonly Series[];
  svg: string;
  table: { headings: readonly string[]; rows: readonly (readonly string[])[] };
}

export function figure({ title, note, legend, svg, table }: FigureParts): string {
  const keys = legend.map(({ name, colour }) => `<li><i class="${colour}"></i>${escape(name)}</li>`).join("");
  return `<figure><figcaption><h3>${escape(title)}</h3><p>${escape(note)}</p></figcaption>
${legend.length < 2 ? "" : `<ul class="legend">${keys}</ul>`}
${svg}
<details><summary>Numbers</summary>${tableOf(table.headings, table.rows, title)}</details></figure>`;
}

/** The first column names the row. */
export function tableOf(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  caption: string,
): string {
  const head = headings.map((heading) => `<th scope="col">${escape(heading)}</th>`).join("");
  const body = rows.map(([first = "", ...cells]) => {
    const data = cells.map((cell) => `<td>${escape(cell)}</td>`).join("");
    return `<tr><th scope="row">${escape(first)}</th>${data}</tr>`;
  });
  return `<div class="scroll" tabindex="0" role="region" aria-label="${escape(caption)}"><table><caption>${escape(caption)}</caption><thead><tr>${head}</tr></thead><tbody>${body.join("")}</tbody></table></div>`;
}

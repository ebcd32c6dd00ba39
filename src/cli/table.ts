/** Left-aligned columns, two spaces apart, with a heading; `-` stands for nothing. */
export function table(headings: readonly string[], rows: readonly (readonly (string | null)[])[]): string {
  const lines = [headings, ...rows.map((row) => row.map((cell) => plain(cell ?? "-")))];
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Cells may hold what a job or worker chose: no control character reaches the terminal. */
export function plain(text: string): string {
  return text.replace(/[\0-\x1f\x7f-\x9f]+/g, " ") || "-";
}

/** `{a: "1"}` → `a=1`. */
export function pairs(entries: Readonly<Record<string, string | number>>): string {
  return Object.entries(entries)
    .map(([key, value]) => `${key}=${value}`)
    .join(" ");
}

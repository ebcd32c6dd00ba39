/** Charts as plain SVG text: scales, axes and marks. Nothing in a chart runs, and its colours come from the page's style. */

export const width = 640;
export const height = 220;
const margin = { left: 64, right: 22, top: 10, bottom: 36 };

/** Text from outside the program, made harmless in text and in attributes. */
export function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

export interface Axis {
  label: string;
  /** `log`: by powers of ten; `odds`: a share of jobs, with as much room from 99 % to 99.9 % as from 90 % to 99 % */
  kind: "linear" | "log" | "odds";
  from: number;
  to: number;
  format: (value: number) => string;
}

/** Maps values to positions, and says which values to mark. */
interface Scale {
  place: (value: number) => number;
  ticks: number[];
}

export interface Frame {
  title: string;
  /** What there is to see, for those who do not see it */
  description: string;
  x: Axis;
  y: Axis;
}

export type Point = readonly [number, number];

/** Where a chart's marks go, in its own units. */
export interface Canvas {
  /** `colour` may be followed by `dashed` */
  line(points: readonly Point[], colour: string): string;
  /** Between two lines of as many points */
  band(lower: readonly Point[], upper: readonly Point[], colour: string): string;
  bar(box: { from: number; to: number; low: number; high: number }, colour: string, says: string): string;
}

export function chart(frame: Frame, draw: (canvas: Canvas) => string): string {
  const right = width - margin.right;
  const bottom = height - margin.bottom;
  const x = scale(frame.x, margin.left, right, 7);
  const y = scale(frame.y, bottom, margin.top, 5);
  const at = ([a, b]: Point): string => `${round(x.place(a))} ${round(y.place(b))}`;
  const canvas: Canvas = {
    line: (points, colour) => `<path class="line ${colour}" d="${path(points.map(at))}"/>`,
    band: (lower, upper, colour) =>
      `<path class="band ${colour}" d="${path([...upper.map(at), ...lower.toReversed().map(at)])}Z"/>`,
    bar: ({ from, to, low, high }, colour, says) => {
      const [left, top] = [x.place(from), y.place(high)];
      const box = `x="${round(left)}" y="${round(top)}" width="${round(Math.max(0.5, x.place(to) - left - 0.5))}"`;
      return `<rect class="band ${colour}" ${box} height="${round(Math.max(0, y.place(low) - top))}"><title>${escape(says)}</title></rect>`;
    },
  };
  const title = escape(frame.title);
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}: ${escape(frame.description)}"><title>${title}</title>
<g class="grid">${gridLines(y.ticks.map(y.place), right)}</g>
${draw(canvas)}
<path class="axis" d="M${margin.left} ${bottom}H${right}"/>
<g class="ticks">${xLabels(frame.x, x, bottom)}${yLabels(frame.y, y)}</g></svg>`;
}

function gridLines(places: readonly number[], right: number): string {
  return places.map((place) => `<path d="M${margin.left} ${round(place)}H${right}"/>`).join("");
}

function xLabels(axis: Axis, { ticks, place }: Scale, bottom: number): string {
  const labels = ticks.map(
    (tick) =>
      `<text x="${round(place(tick))}" y="${bottom + 14}" text-anchor="middle">${escape(axis.format(tick))}</text>`,
  );
  const middle = (margin.left + width - margin.right) / 2;
  return `${labels.join("")}<text x="${middle}" y="${height - 5}" text-anchor="middle" class="name">${escape(axis.label)}</text>`;
}

function yLabels(axis: Axis, { ticks, place }: Scale): string {
  const labels = ticks.map(
    (tick) =>
      `<text x="${margin.left - 6}" y="${round(place(tick) + 3.5)}" text-anchor="end">${escape(axis.format(tick))}</text>`,
  );
  const middle = (margin.top + height - margin.bottom) / 2;
  const turned = `transform="rotate(-90 11 ${middle})" x="11" y="${middle}" text-anchor="middle" class="name"`;
  return `${labels.join("")}<text ${turned}>${escape(axis.label)}</text>`;
}

function scale({ kind, from, to }: Axis, start: number, end: number, wanted: number): Scale {
  const bend = bends[kind];
  const [low, high] = [bend(from), bend(to)];
  const span = high - low || 1;
  const place = (value: number): number => {
    const share = (bend(Math.min(Math.max(value, from), to)) - low) / span;
    return start + share * (end - start);
  };
  return { place, ticks: ticksOf({ kind, from, to }, wanted) };
}

const bends: Readonly<Record<Axis["kind"], (value: number) => number>> = {
  linear: (value) => value,
  log: (value) => Math.log10(value),
  odds: (value) => -Math.log10(1 - value),
};

const shares = [0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999];

function ticksOf({ kind, from, to }: Pick<Axis, "kind" | "from" | "to">, wanted: number): number[] {
  if (kind === "odds") return shares.filter((share) => share >= from && share <= to);
  if (kind === "linear") return steps(from, to, wanted);
  const decades = Math.log10(to) - Math.log10(from);
  const factors = decades > wanted ? [1] : decades > wanted / 3 ? [1, 3] : [1, 2, 5];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(from)); power <= Math.log10(to); power += 1) {
    ticks.push(...factors.map((factor) => factor * 10 ** power));
  }
  const inside = ticks.filter((tick) => tick >= from * 0.999 && tick <= to * 1.001);
  return inside.length >= 2 ? inside : [from, to];
}

/** Round numbers that divide the range into about `wanted` parts. */
export function steps(from: number, to: number, wanted: number): number[] {
  const raw = (to - from) / wanted;
  if (!(raw > 0)) return [from];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999) ?? 10) * power;
  const first = Math.ceil(from / step - 1e-9);
  const count = Math.floor(to / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, n) => (first + n) * step);
}

function path(points: readonly string[]): string {
  return points.length === 0 ? "" : `M${points.join("L")}`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

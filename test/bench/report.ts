/** One part of the benchmark. */
export interface Bench {
  /** what `--only` takes */
  name: string;
  run(): Promise<Figure[]>;
}

/** One figure beside what it is held to. */
export interface Figure {
  what: string;
  value: string;
  budget: string;
  held: boolean;
  /** samples */
  n: number;
  mode: string;
  /** from where to where, and what stands beside it */
  includes: string;
  raw: Record<string, unknown>;
}

export function print(figures: readonly Figure[]): void {
  for (const { what, value, budget, held, n, mode, includes } of figures) {
    console.log(`${held ? "held  " : "MISSED"}  ${what}`);
    console.log(`        ${value}   (budget: ${budget})`);
    console.log(`        n=${n}, ${mode}; ${includes}`);
  }
}

export const ms = (value: number): string => `${value.toFixed(value < 10 ? 2 : 0)} ms`;
export const ratio = (value: number): string => `${value.toFixed(2)}×`;

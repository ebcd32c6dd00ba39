/** One figure beside what it is held to. */
export interface Figure {
  what: string;
  /** how it was measured: n, closed or open loop, what it includes */
  how: string;
  value: string;
  budget: string;
  held: boolean;
  raw: Record<string, unknown>;
}

export function print(figures: readonly Figure[], json: boolean): void {
  if (json) {
    console.log(JSON.stringify({ figures }, null, 2));
    return;
  }
  for (const { what, how, value, budget, held } of figures) {
    console.log(
      `${held ? "held  " : "MISSED"}  ${what}\n        ${value}   (budget: ${budget})\n        ${how}`,
    );
  }
}

export const ms = (value: number): string => `${value.toFixed(value < 10 ? 2 : 0)} ms`;
export const ratio = (value: number): string => `${value.toFixed(2)}×`;

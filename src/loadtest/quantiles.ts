/** Of every sample, none trimmed; `ms` as the samples are. */
export interface Quantiles {
  n: number;
  p50: number;
  p90: number;
  p99: number;
  p999: number;
  max: number;
  mean: number;
}

/** Undefined for no samples. */
export function quantiles(samples: readonly number[]): Quantiles | null {
  if (samples.length === 0) return null;
  const sorted = Float64Array.from(samples).sort();
  return {
    n: sorted.length,
    p50: at(sorted, 0.5),
    p90: at(sorted, 0.9),
    p99: at(sorted, 0.99),
    p999: at(sorted, 0.999),
    max: at(sorted, 1),
    mean: sorted.reduce((sum, value) => sum + value, 0) / sorted.length,
  };
}

/** Nearest rank: the smallest sample that at least `share` of all samples do not exceed. */
export function at(sorted: ArrayLike<number>, share: number): number {
  // a share such as 0.07 has no exact form, and its product may come out a hair above the rank meant
  const rank = Math.ceil(sorted.length * share - 1e-9);
  return sorted[Math.min(sorted.length, Math.max(1, rank)) - 1] ?? Number.NaN;
}

/** The largest of any number of values; 0 for none. */
export function largest(values: Iterable<number>): number {
  let most = 0;
  for (const value of values) most = Math.max(most, value);
  return most;
}

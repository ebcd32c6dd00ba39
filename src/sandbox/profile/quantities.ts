/** The quantities of a profile: where each is written, how it is read, and between which bounds it makes sense. */
import { isError } from "../../errors.ts";
import { formatDuration, formatSize, parseDuration, parseSize } from "../../units.ts";

interface Bounds {
  parse: (text: string, field: string) => number;
  format: (value: number) => string;
  least: number;
  most: number;
}

const hour = 3_600_000;
const kib = 2 ** 10;
const mib = 2 ** 20;
const tib = 2 ** 40;

const duration = (least: number, most: number): Bounds => ({
  parse: parseDuration,
  format: formatDuration,
  least,
  most,
});
const size = (least: number, most: number): Bounds => ({ parse: parseSize, format: formatSize, least, most });

/** Far outside what any host offers, so that a slip of the unit is caught where it was made. */
export const bounds = {
  "resources.memory": size(16 * mib, 64 * tib),
  "resources.workspace": size(64 * kib, 64 * tib),
  "resources.tmp": size(64 * kib, 64 * tib),
  "limits.wallClock": duration(100, 30 * 24 * hour),
  "limits.output": size(1 * kib, 1 * tib),
  "limits.artifacts": size(1 * kib, 1 * tib),
  "limits.idle": duration(1_000, 30 * 24 * hour),
  "pool.maxAge": duration(1_000, 30 * 24 * hour),
} as const satisfies Record<string, Bounds>;

export type QuantityPath = keyof typeof bounds;

/** The value in `ms` or bytes, or why there is none. */
export function readQuantity(path: QuantityPath, text: string): number | { reason: string } {
  const { parse, format, least, most } = bounds[path];
  try {
    const value = parse(text, path);
    if (value < least) return { reason: `${text} is less than ${format(least)}` };
    if (value > most) return { reason: `${text} is more than ${format(most)}` };
    return value;
  } catch (error) {
    if (!isError(error, "request_invalid")) throw error;
    return { reason: `${JSON.stringify(text)}: ${String(error.details["fix"])}` };
  }
}

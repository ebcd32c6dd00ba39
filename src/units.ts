/** Durations and sizes as people write them in profiles, jobs and flags. */
import { SallyportError } from "./errors.ts";

const msPerUnit: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const bytesPerUnit: Record<string, number> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
};

/** `"1.5s"` → 1500 `ms`. Throws `request_invalid` naming `field`. */
export function parseDuration(text: string, field: string): number {
  return parse(text, { field, what: "duration", units: msPerUnit, example: '"500ms", "10s", "5m", "1h"' });
}

/** `"512MiB"` → 536870912 bytes. Throws `request_invalid` naming `field`. */
export function parseSize(text: string, field: string): number {
  return parse(text, { field, what: "size", units: bytesPerUnit, example: '"64KiB", "512MiB", "2GiB"' });
}

interface Quantity {
  field: string;
  what: string;
  units: Record<string, number>;
  example: string;
}

function parse(text: string, quantity: Quantity): number {
  const match = /^(\d{1,15}(?:\.\d{1,6})?) ?([A-Za-z]{1,3})$/.exec(text);
  const unit = match?.[2] === undefined ? undefined : quantity.units[match[2]];
  const value =
    match?.[1] === undefined || unit === undefined ? Number.NaN : Math.round(Number(match[1]) * unit);
  if (!Number.isSafeInteger(value) || value <= 0) {
    throw new SallyportError(
      "request_invalid",
      `${quantity.field}: ${JSON.stringify(text)} is not a ${quantity.what}`,
      {
        details: {
          field: quantity.field,
          fix: `write a positive number with a unit, such as ${quantity.example}`,
        },
      },
    );
  }
  return value;
}

/** 1500 → `"1.5s"`, for people; the largest unit that leaves at most two decimals. */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${round(ms)}ms`;
  if (ms < 60_000) return `${round(ms / 1_000)}s`;
  if (ms < 3_600_000) return `${round(ms / 60_000)}m`;
  return `${round(ms / 3_600_000)}h`;
}

/** 536870912 → `"512MiB"`, for people. */
export function formatSize(bytes: number): string {
  if (bytes < 2 ** 10) return `${bytes}B`;
  if (bytes < 2 ** 20) return `${round(bytes / 2 ** 10)}KiB`;
  if (bytes < 2 ** 30) return `${round(bytes / 2 ** 20)}MiB`;
  return `${round(bytes / 2 ** 30)}GiB`;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

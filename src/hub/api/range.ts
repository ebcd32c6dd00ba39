import { SallyportError } from "../../errors.ts";

/** Half-open. */
export interface ByteRange {
  from: number;
  to: number;
}

/**
 * The one range a `Range` header asks of `size` bytes; undefined where the header is to be ignored (absent, another unit, or
 * several ranges). Throws `range_invalid` when none of it is there. https://www.rfc-editor.org/rfc/rfc9110#section-14.2
 */
export function parseRange(header: string | undefined, size: number): ByteRange | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? "");
  const [, first = "", last = ""] = match ?? [];
  if (match === null || (first === "" && last === "")) return undefined;
  if (first !== "" && last !== "" && Number(last) < Number(first)) return undefined;
  const from = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const to = first === "" || last === "" ? size : Math.min(size, Number(last) + 1);
  if (from < to) return { from, to };
  throw new SallyportError("range_invalid", `range: ${header} is outside of ${size} bytes`, {
    details: { field: "range", size },
  });
}

/** Where an open range starts, for a body whose size is not known yet; 0 for anything else. */
export function openStart(header: string | undefined): number {
  return Number(/^bytes=(\d{1,15})-$/.exec(header ?? "")?.[1] ?? 0);
}

/** Headers of an exchange, by names in lower case. */
import type { HeaderList, HttpRequest } from "../../exchange/index.ts";

export function valuesOf(headers: HeaderList, name: string): string[] {
  const values: string[] = [];
  for (const [key, value] of headers) if (key === name) values.push(value.trim());
  return values;
}

/** Each of `values` set once; a null takes the header away. */
export function withHeaders(headers: HeaderList, values: Record<string, string | null>): HeaderList {
  const changed = headers.filter(([name]) => !Object.hasOwn(values, name));
  for (const [name, value] of Object.entries(values)) if (value !== null) changed.push([name, value]);
  return changed;
}

export type BodyKind = "json" | "events" | "other";

/** What `content-type` says; `json` and `events` only where it can be read as UTF-8. */
export function bodyKind(headers: HeaderList): BodyKind {
  const values = valuesOf(headers, "content-type");
  const value = values[0];
  if (value === undefined || values.length > 1) return "other";
  const [type = "", ...parameters] = value.split(";").map((part) => part.trim().toLowerCase());
  const charsets = parameters.filter((part) => part.startsWith("charset"));
  if (!charsets.every((part) => /^charset="?utf-?8"?$/.test(part))) return "other";
  if (type === "text/event-stream") return "events";
  return type === "application/json" || /^application\/[\w.-]+\+json$/.test(type) ? "json" : "other";
}

/** Whether some client takes the body for MCP, whatever else `content-type` says. */
export function maySpeakMcp(headers: HeaderList): boolean {
  return valuesOf(headers, "content-type").some((value) =>
    /application\/json|text\/event-stream/i.test(value),
  );
}

export function wantsEvents({ method, headers }: HttpRequest): boolean {
  return method === "GET" && valuesOf(headers, "accept").some((value) => /text\/event-stream/i.test(value));
}

export function isEncoded(headers: HeaderList): boolean {
  return valuesOf(headers, "content-encoding").some((value) => !/^(identity)?$/i.test(value));
}

/** For a body that is no longer the upstream's: what was said about its bytes goes. */
export function forNewBody(headers: HeaderList, length: number | null): HeaderList {
  return withHeaders(headers, {
    "content-length": length === null ? null : String(length),
    "content-md5": null,
    "content-digest": null,
    "repr-digest": null,
    digest: null,
    etag: null,
    "accept-ranges": null,
  });
}

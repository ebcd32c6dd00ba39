/** Bodies in JSON, checked before anything is made of them. */
import { createHash } from "node:crypto";
import type { Readable } from "node:stream";
import type { FastifyRequest } from "fastify";
import { SallyportError } from "../../errors.ts";
import type { Bodies } from "./bodies.ts";
import type { Api } from "./context.ts";

/** names, texts and marks between values of one body; a job with as much of everything as it may have stays below 40 000 */
const mostParts = 100_000;

const [quote, backslash] = [0x22, 0x5c];
/** `,` `:` `[` `{` */
const separators = new Set([0x2c, 0x3a, 0x5b, 0x7b]);

export function takeOnlyJson(app: Api, bodies: Bodies): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", async (request: FastifyRequest, payload: Readable) => {
    const body = await bodies.read(request, payload);
    if (body.length === 0) return undefined;
    request.bodyDigest = createHash("sha256").update(body).digest("base64url");
    return parse(body);
  });
}

/** Throws `request_invalid`. */
function parse(body: Buffer): unknown {
  if (hasTooManyParts(body)) throw invalid(`more than ${mostParts} parts`);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (cause) {
    throw invalid("not valid JSON in UTF-8", cause);
  }
}

function invalid(reason: string, cause?: unknown): SallyportError {
  return new SallyportError("request_invalid", `body: ${reason}`, { details: { field: "body" }, cause });
}

/**
 * A body is large because of long texts, or to harm: each of its parts costs many times its bytes to parse and to check, and a body full
 * of them all the memory there is.
 */
function hasTooManyParts(body: Buffer): boolean {
  let parts = 0;
  for (let at = 0; at < body.length; at += 1) {
    const byte = body[at] ?? 0;
    if (byte !== quote && !separators.has(byte)) continue;
    if (byte === quote) at = endOfText(body, at + 1);
    parts += 1;
    if (parts > mostParts) return true;
  }
  return false;
}

/** Where the quote stands that ends the text from `start` on: one behind an even number of backslashes. */
function endOfText(body: Buffer, start: number): number {
  for (let at = start; ; at += 1) {
    at = body.indexOf(quote, at);
    if (at === -1) return body.length;
    let before = at;
    while (body[before - 1] === backslash) before -= 1;
    if ((at - before) % 2 === 0) return at;
  }
}

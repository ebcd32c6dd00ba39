/** What a caller says about itself does not reach an upstream: identity comes from where a request arrived. */
import type { Forward, HeaderList } from "../../exchange/index.ts";

const identity: ReadonlySet<string> = new Set([
  "forwarded",
  "via",
  "x-real-ip",
  "x-client-ip",
  "x-original-host",
  "x-original-url",
  "x-rewrite-url",
  "x-http-method-override",
  "true-client-ip",
  "cf-connecting-ip",
]);

/** Without claims of identity, our own names, and names with underscores, which some upstreams read as hyphens. */
export function callersHeaders(headers: HeaderList): HeaderList {
  return headers.filter(
    ([name]) =>
      !identity.has(name) &&
      !name.startsWith("x-forwarded-") &&
      !name.startsWith("x-sallyport-") &&
      !name.includes("_"),
  );
}

export function throughCallersHeaders(forward: Forward): Forward {
  return (request, signal) => forward({ ...request, headers: callersHeaders(request.headers) }, signal);
}

/** What a caller says about itself does not reach an upstream: identity comes from where a request arrived. Nor does an upstream speak as one of us. */
import type { Forward, HeaderList } from "../../exchange/index.ts";

/** Headers in which our hops tell one another of failures */
const ours = "x-sallyport-";

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
      !name.startsWith(ours) &&
      !name.includes("_"),
  );
}

export function throughCallersHeaders(forward: Forward): Forward {
  return async (request, signal) => {
    const response = await forward({ ...request, headers: callersHeaders(request.headers) }, signal);
    return { ...response, headers: response.headers.filter(([name]) => !name.startsWith(ours)) };
  };
}

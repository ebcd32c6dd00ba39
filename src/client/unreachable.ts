import { SallyportError } from "../errors.ts";

/** `details.refused`: no connection was made at all, so nothing was sent. */
export function hubUnreachable(url: string, error: unknown): SallyportError {
  const { code, text } = causeOf(error);
  const refused = connectFailures.has(code);
  return new SallyportError("hub_unreachable", `no hub answers at ${url}: ${text}`, {
    cause: error,
    details: { url, reason: code, refused, fix: fixOf(code) },
  });
}

const connectFailures = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
]);

function fixOf(code: string): string {
  if (/CERT|SELF_SIGNED|ERR_TLS|UNABLE_TO_/.test(code)) {
    return "check the hub's certificate; NODE_EXTRA_CA_CERTS names a file with a private CA";
  }
  return "start one with `sallyport dev`, or name a running one with --hub or SALLYPORT_HUB";
}

/** What happened may be hidden in a chain of causes. */
function causeOf(error: unknown): { code: string; text: string } {
  let last: unknown = error;
  for (let depth = 0; depth < 5 && last instanceof Error; depth += 1) {
    const code = (last as NodeJS.ErrnoException).code;
    if (typeof code === "string") return { code, text: last.message === "" ? code : last.message };
    if (last.cause === undefined) return { code: "", text: last.message };
    last = last.cause;
  }
  return { code: "", text: String(last) };
}

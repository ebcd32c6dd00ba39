/** Turns whatever was thrown into the one form errors have on the wire. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { isError, SallyportError } from "../../errors.ts";
import type { Log } from "../../log.ts";

/** What the framework's own errors mean. */
const byFrameworkCode: Record<string, (message: string) => SallyportError> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () =>
    new SallyportError("media_type_unsupported", "content-type: this call does not take it", {
      details: { field: "content-type", fix: "send application/json" },
    }),
  FST_ERR_BAD_URL: () =>
    new SallyportError("request_invalid", "path: a part of it is not percent-encoded as UTF-8 has to be"),
  FST_ERR_MAX_PARAM_LENGTH: () => new SallyportError("request_invalid", "path: a part of it is too long"),
};

export function toApiError(error: unknown): SallyportError {
  if (isError(error)) return error;
  if (!(error instanceof Error)) return SallyportError.from(error);
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const known = byFrameworkCode[code];
  if (known !== undefined) return known(error.message);
  const status = "statusCode" in error ? error.statusCode : undefined;
  if (typeof status === "number" && status >= 400 && status < 500) {
    return new SallyportError("request_invalid", `request: ${error.message}`, { cause: error });
  }
  return SallyportError.from(error);
}

/** Answers with the error; what is our fault is logged, once, under the request's id. */
export function sendError(
  log: Log,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const left = request.raw.destroyed && !request.raw.complete;
  const known = left ? new SallyportError("cancelled", "the client left") : toApiError(error);
  const { method } = request;
  const route = request.routeOptions.url ?? "unknown";
  if (known.status >= 500) {
    log.error({ requestId: request.id, method, route, code: known.code, err: error }, "request failed");
  }
  // A caller that is still sending sees a reply only if it may go on: the rest of its body is read, and dropped.
  if (known.code === "body_too_large") void reply.removeHeader("connection");
  if (known.code === "unauthenticated") void reply.header("www-authenticate", "Bearer");
  return reply
    .status(known.status)
    .type("application/json; charset=utf-8")
    .send({ error: wireOf(known, request.id) });
}

/** The text of an unforeseen error may hold anything, so only its place in the log is told. */
function wireOf(error: SallyportError, requestId: string): unknown {
  if (error.code !== "internal") return error.toWire();
  return {
    code: "internal",
    message: "the hub could not serve this request",
    details: { requestId, fix: "look for the request id in the hub's log" },
  };
}

/** What a caller is told when its request could not be carried: the code, the layer that failed, and how to mend it. */
import { z } from "zod";
import { SallyportError, type ErrorCode } from "../errors.ts";
import { bytesBody } from "./body.ts";
import { layers, type HeaderList, type HttpRequest, type HttpResponse, type Layer } from "./contract.ts";
import { headerOf } from "./headers.ts";

/** Where a code alone tells the layer */
const layerByCode: Partial<Record<ErrorCode, Layer>> = {
  host_not_allowed: "policy",
  tool_not_allowed: "policy",
  call_limit_exceeded: "policy",
  call_rate_exceeded: "policy",
  network_limit_exceeded: "policy",
  tools_changed: "tools_list",
  host_mismatch: "name",
  request_invalid: "name",
  route_unknown: "route",
  route_unavailable: "edge",
  channel_closed: "edge",
  certificate_invalid: "inner_tls",
  upstream_address_denied: "ip",
  upstream_unreachable: "dial",
  upstream_failed: "upstream",
};

/** The layer an error names, else the one its code stands for; null where it concerns none. */
export function layerOf(error: SallyportError): Layer | null {
  const named = layers.find((layer) => layer === error.details["layer"]);
  return named ?? layerByCode[error.code] ?? null;
}

export interface Failure {
  readonly status: number;
  readonly headers: HeaderList;
  readonly bytes: Buffer;
}

/** The reply to a request that failed; anything but a `SallyportError` tells nothing of itself. */
export function failureOf(cause: unknown, request: Pick<HttpRequest, "id" | "host">): Failure {
  const error = SallyportError.from(cause);
  const layer = layerOf(error);
  const bytes = Buffer.from(JSON.stringify(bodyOf(error, layer, request)));
  const headers: [string, string][] = [
    ["content-type", "application/json"],
    ["content-length", String(bytes.length)],
    ["x-request-id", request.id],
  ];
  if (layer !== null) headers.push(["x-sallyport-layer", layer]);
  return { status: error.status, headers, bytes };
}

export function failureResponse(cause: unknown, request: Pick<HttpRequest, "id" | "host">): HttpResponse {
  const { status, headers, bytes } = failureOf(cause, request);
  return { status, headers, body: bytesBody(bytes) };
}

function bodyOf(
  error: SallyportError,
  layer: Layer | null,
  { id, host }: Pick<HttpRequest, "id" | "host">,
): Record<string, unknown> {
  if (error.code === "host_not_allowed") return { error: error.code, host };
  const { fix, sent } = error.details;
  return {
    error: error.code,
    layer,
    host,
    message: error.code === "internal" ? "something went wrong here; the log has it" : error.message,
    ...(typeof fix === "string" && { fix }),
    ...(typeof sent === "boolean" && { sent }),
    requestId: id,
  };
}

/** UTF-16 units of a failure's body */
const maxBody = 65_536;

const failureBody = z.object({
  error: z.string(),
  message: z.string(),
  fix: z.string().optional(),
  sent: z.boolean().optional(),
});

/** `response`, unless it is the failure of another hop of ours: that one is thrown here as it was there. */
export async function unlessFailure(response: HttpResponse): Promise<HttpResponse> {
  const layer = layers.find((known) => known === headerOf(response.headers, "x-sallyport-layer"));
  if (layer === undefined) return response;
  const { error, message, ...details } = failureBody.catch(unread(response)).parse(await jsonIn(response));
  throw SallyportError.fromWire({ code: error, message, details: { ...details, layer } });
}

const unread = ({ status }: HttpResponse): z.infer<typeof failureBody> => ({
  error: "upstream_failed",
  message: `HTTP ${status}`,
  fix: "ask whoever runs the tunnel",
  sent: true,
});

/** Undefined where it is too long, or not JSON. Ends the body. */
async function jsonIn({ body }: HttpResponse): Promise<unknown> {
  body.setEncoding("utf8");
  let text = "";
  for await (const chunk of body) {
    text += String(chunk);
    if (text.length > maxBody) return undefined;
  }
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

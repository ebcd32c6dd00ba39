import { STATUS_CODES, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { SallyportError } from "../../errors.ts";

/** A connection the edge cannot carry, as its caller is told. */
export interface EdgeFailure {
  error: SallyportError;
  host: string;
  requestId: string;
}

/** Answers a request with the failure and closes. */
export function sendFailure(reply: ServerResponse, failure: EdgeFailure): void {
  const body = bodyOf(failure);
  reply.writeHead(failure.error.status, headersOf(failure, body)).end(body);
}

/** The same where HTTP is not parsed any more. */
export function answerFailure(socket: Duplex, failure: EdgeFailure): void {
  const body = bodyOf(failure);
  const { status } = failure.error;
  const lines = Object.entries(headersOf(failure, body)).map(([name, value]) => `${name}: ${value}`);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Error"}\r\n${lines.join("\r\n")}\r\n\r\n${body}`);
}

function headersOf({ error, requestId }: EdgeFailure, body: string): Record<string, string> {
  return {
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(body)),
    "x-sallyport-layer": layerOf(error),
    "x-request-id": requestId,
    connection: "close",
  };
}

function bodyOf({ error, host, requestId }: EdgeFailure): string {
  const { fix } = error.details;
  return JSON.stringify({
    error: error.code,
    layer: layerOf(error),
    host: host.slice(0, 253),
    message: error.message,
    ...(typeof fix === "string" && { fix }),
    requestId,
  });
}

function layerOf({ details: { layer } }: SallyportError): string {
  return typeof layer === "string" ? layer : "edge";
}

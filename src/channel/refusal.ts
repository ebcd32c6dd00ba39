/** A refused upgrade, as the hub writes it and as a dialler reads it: an HTTP reply whose body is `{"error": {…}}`. */
import { STATUS_CODES, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { z } from "zod";
import { SallyportError, type ErrorCode } from "../errors.ts";
import { wireErrorSchema } from "../protocol/index.ts";

const maxBodyBytes = 64 * 2 ** 10;
const bodySchema = z.object({ error: wireErrorSchema });

/** What a status means when something on the way, and not the hub, wrote the body. */
const codeByStatus: Record<number, ErrorCode> = {
  401: "unauthenticated",
  403: "scope_missing",
  426: "protocol_unsupported",
  503: "hub_draining",
};

export function writeRefusal(socket: Duplex, error: SallyportError): void {
  const body = JSON.stringify({ error: error.toWire() });
  const { status } = error;
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Error"}`,
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(body)}`,
    ...(status === 426 ? ["upgrade: websocket"] : []),
    ...(status === 401 ? ["www-authenticate: Bearer"] : []),
    "connection: close",
  ];
  socket.once("finish", () => socket.destroy());
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}

/** The error a reply to an upgrade stands for; never rejects. */
export async function readRefusal(response: IncomingMessage, url: URL): Promise<SallyportError> {
  const status = response.statusCode ?? 0;
  const parsed = bodySchema.safeParse(await readJson(response));
  if (parsed.success) return SallyportError.fromWire(parsed.data.error);
  return new SallyportError(
    codeByStatus[status] ?? "hub_unreachable",
    `${url.origin} answered the connection with HTTP ${status}`,
    {
      details: { url: url.href, status, fix: "check that the address is that of a hub" },
    },
  );
}

async function readJson(response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxBodyBytes) return undefined;
      chunks.push(chunk);
    }
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    return undefined;
  }
}

/** The request and the reply that most tests of the face send. */
import { bytesBody, type HttpResponse } from "../../../src/exchange/index.ts";

export const reply = (text: string, headers: HttpResponse["headers"] = []): HttpResponse => ({
  status: 200,
  headers: [["content-length", String(text.length)], ...headers],
  body: bytesBody(Buffer.from(text)),
});

export const get = (target: string, ...headers: readonly string[]): string =>
  [`GET ${target} HTTP/1.1`, "Host: Docs.Test:443", ...headers, "", ""].join("\r\n");

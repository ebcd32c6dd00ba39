/** Requests through `node:http`, at about two thirds of the processor time `fetch` takes. */
import { request as requestHttp, type IncomingMessage } from "node:http";
import { request as requestHttps } from "node:https";

export interface OutgoingRequest {
  url: URL;
  method: "GET" | "POST";
  headers: Record<string, string>;
  body?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** How long a hub may take to begin its reply, `ms`; a wait for a job's end takes a minute at most */
const replyMs = 300_000;

/** What opens a request to `url` */
export function openerOf(url: URL): typeof requestHttp {
  return url.protocol === "https:" ? requestHttps : requestHttp;
}

export function isSuccess({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode <= 299;
}

/**
 * Resolves with the head of the reply; the body is to be read, or to be destroyed. Follows no redirect, which would carry the key to
 * wherever it points. Rejects as the network does.
 */
export function openReply(outgoing: OutgoingRequest): Promise<IncomingMessage> {
  const { url, method, headers, body, signal } = outgoing;
  const request = openerOf(url)(url, { method, headers, timeout: replyMs, ...(signal && { signal }) });
  return new Promise((resolve, reject) => {
    request.once("response", (reply) => {
      request.setTimeout(0);
      resolve(reply);
    });
    request.once("timeout", () => request.destroy(new Error(`no reply within ${replyMs} ms`)));
    request.on("error", reject);
    request.end(body);
  });
}

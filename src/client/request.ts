/** Requests through `node:http`: at a fraction of what `fetch` costs, and each chunk of a reply is there as soon as it came. */
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

/**
 * Resolves with the head of the reply; the body is to be read, or to be destroyed. Follows no redirect, which would carry the key to
 * wherever it points. Rejects as the network does. Every request to a hub may be made twice: one that met the end of a connection
 * kept from before is made again.
 */
export async function openReply(outgoing: OutgoingRequest): Promise<IncomingMessage> {
  try {
    return await openOnce(outgoing);
  } catch (error) {
    if (error instanceof StaleConnection) return await openOnce(outgoing);
    throw error;
  }
}

class StaleConnection extends Error {}

function openOnce({ url, method, headers, body, signal }: OutgoingRequest): Promise<IncomingMessage> {
  const open = url.protocol === "https:" ? requestHttps : requestHttp;
  const request = open(url, { method, headers, timeout: replyMs, ...(signal && { signal }) });
  return new Promise((resolve, reject) => {
    request.once("response", (reply) => {
      request.setTimeout(0);
      resolve(reply);
    });
    request.once("timeout", () => request.destroy(new Error(`no reply within ${replyMs} ms`)));
    request.on("error", (error: NodeJS.ErrnoException) => {
      // https://nodejs.org/api/http.html#requestreusedsocket
      const stale = request.reusedSocket && error.code === "ECONNRESET";
      reject(stale ? new StaleConnection(error.message, { cause: error }) : error);
    });
    request.end(body);
  });
}

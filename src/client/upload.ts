/**
 * Sends a body of any length at the pace the hub takes it. Goes through `node:http`, which waits for a reply as long as it
 * takes: a program may read its stdin slowly, or start only when a worker is free.
 */
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { text } from "node:stream/consumers";
import { isError } from "../errors.ts";
import { errorOf } from "./http.ts";
import { isSuccess, openerOf } from "./request.ts";
import { hubUnreachable } from "./unreachable.ts";

export interface Upload {
  url: URL;
  headers: Record<string, string>;
  /** The hub's address, for errors */
  hub: string;
  body: AsyncIterable<Uint8Array>;
  signal?: AbortSignal | undefined;
}

/** Resolves when the hub has taken all of it; throws what the hub answered, `hub_unreachable`, or the body's own error. */
export async function upload(options: Upload): Promise<void> {
  const { url, headers, hub, signal } = options;
  const request = openerOf(url)(url, {
    method: "POST",
    headers: { ...headers, "content-type": "application/octet-stream" },
  });
  const answered = Promise.withResolvers<IncomingMessage>();
  request.once("response", answered.resolve);
  request.once("error", answered.reject);
  let bodyFailed = false;
  async function* watched(): AsyncGenerator<Uint8Array> {
    try {
      yield* options.body;
    } catch (error) {
      bodyFailed = true;
      throw error;
    }
  }
  const source = Readable.from(watched(), { objectMode: false });
  const sent = pipeline(source, request, signal === undefined ? {} : { signal });
  sent.catch(answered.reject);
  try {
    const response = await answered.promise;
    const reply = await text(response);
    if (!isSuccess(response)) throw errorOf(response.statusCode ?? 0, reply, hub);
  } catch (error) {
    signal?.throwIfAborted();
    throw bodyFailed || isError(error) ? error : hubUnreachable(hub, error);
  } finally {
    source.destroy();
    request.destroy();
  }
}

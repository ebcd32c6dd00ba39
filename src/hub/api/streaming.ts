/** Replies that last: they go as fast as the client reads, and stop when it leaves. */
import { once } from "node:events";
import { Readable } from "node:stream";
import type { FastifyReply } from "fastify";
import { linkSignals } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { JobEvent } from "../live/job-events.ts";

/** between two comments on a silent event stream, `ms` */
const keepAwakeMs = 15_000;

/** A signal that fires when the client is gone or the hub leaves. Dispose it. */
export function readerSignal(reply: FastifyReply, leaving: AbortSignal): ReturnType<typeof linkSignals> {
  const linked = linkSignals(leaving);
  const gone = (): void => linked.abort(new SallyportError("cancelled", "the client left"));
  reply.raw.once("close", gone);
  return {
    signal: linked.signal,
    abort: (reason) => linked.abort(reason),
    [Symbol.dispose]: () => {
      reply.raw.off("close", gone);
      linked[Symbol.dispose]();
    },
  };
}

export interface LiveReply {
  reply: FastifyReply;
  status: number;
  headers: Record<string, string>;
  /** sent on a silent connection, so that nobody on the way takes it for dead */
  keepAwake?: string;
  /** ends the reply when it fires; the client comes back for the rest */
  signal: AbortSignal;
  log: Log;
}

/** Sends events as they come. */
export async function sendEvents(
  target: Omit<LiveReply, "status" | "keepAwake">,
  events: AsyncIterable<JobEvent[]>,
): Promise<void> {
  const headers = {
    "content-type": "text/event-stream; charset=utf-8",
    "x-accel-buffering": "no",
    ...target.headers,
  };
  await sendLive({ ...target, status: 200, headers, keepAwake: ":\n\n" }, framesOf(events));
}

/** Sends the headers at once and the rest as it comes, strings in ASCII. A failure breaks the connection, so that no client takes it for the end. */
export async function sendLive(
  target: LiveReply,
  batches: AsyncIterable<readonly (string | Uint8Array)[]>,
): Promise<void> {
  const { reply, signal, keepAwake } = target;
  const { raw } = reply;
  reply.hijack();
  const headers = { ...(reply.getHeaders() as Record<string, string>), "cache-control": "no-store" };
  raw.writeHead(target.status, { ...headers, ...target.headers });
  raw.flushHeaders();
  const timer = setInterval(() => {
    if (keepAwake !== undefined && !raw.writableNeedDrain) raw.write(keepAwake);
  }, keepAwakeMs);
  try {
    for await (const batch of batches) {
      // not corked: a corked reply takes any number of small batches without asking anybody to wait
      for (const part of batch) raw.write(part, "latin1");
      if (raw.writableNeedDrain) await once(raw, "drain", { signal });
    }
    raw.end();
  } catch (error) {
    if (signal.aborted) raw.end();
    else {
      target.log.error({ requestId: reply.request.id, err: error }, "reply broken off");
      raw.destroy();
    }
  } finally {
    clearInterval(timer);
  }
}

async function* framesOf(events: AsyncIterable<JobEvent[]>): AsyncGenerator<(string | Uint8Array)[]> {
  for await (const batch of events) yield partsOf(batch);
}

/** characters of base64 from which they go out as they are: they need no escapes and no encoder */
const longBase64 = 4 * 2 ** 10;

/** What is small goes out together. */
function partsOf(batch: readonly JobEvent[]): (string | Uint8Array)[] {
  const parts: (string | Uint8Array)[] = [];
  let text = "";
  for (const { event, id, data } of batch) {
    text += `event: ${event}\nid: ${id}\ndata: `;
    const { base64, ...rest } = data;
    const isOutput = event === "stdout" || event === "stderr";
    if (isOutput && typeof base64 === "string" && base64.length >= longBase64) {
      parts.push(Buffer.from(`${text}${JSON.stringify(rest).slice(0, -1)},"base64":"`), base64);
      text = '"}\n\n';
    } else text += `${JSON.stringify(data)}\n\n`;
  }
  if (text !== "") parts.push(Buffer.from(text));
  return parts;
}

/** A body made of `bytes`; whatever they hold on to is let go with the reply. */
export function bodyOf(bytes: AsyncIterable<Uint8Array>, release: Disposable): Readable {
  return Readable.from(releasing(bytes, release), { objectMode: false, highWaterMark: 256 * 2 ** 10 });
}

async function* releasing(bytes: AsyncIterable<Uint8Array>, release: Disposable): AsyncGenerator<Uint8Array> {
  using _held = release;
  yield* bytes;
}

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

export interface EventReply {
  reply: FastifyReply;
  headers: Record<string, string>;
  /** ends the reply when it fires; the client resumes elsewhere */
  signal: AbortSignal;
  log: Log;
}

/** Sends events as they come. A failure breaks the connection, so the client comes back and resumes. */
export async function sendEvents(target: EventReply, events: AsyncIterable<JobEvent[]>): Promise<void> {
  const { reply, signal } = target;
  const { raw } = reply;
  reply.hijack();
  raw.writeHead(200, {
    ...(reply.getHeaders() as Record<string, string>),
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
    ...target.headers,
  });
  raw.flushHeaders();
  const keepAwake = setInterval(() => {
    if (!raw.writableNeedDrain) raw.write(":\n\n");
  }, keepAwakeMs);
  try {
    for await (const batch of events) {
      if (!raw.write(batch.map(frameOf).join(""))) await once(raw, "drain", { signal });
    }
    raw.end();
  } catch (error) {
    if (signal.aborted) raw.end();
    else {
      target.log.error({ requestId: reply.request.id, err: error }, "event stream failed");
      raw.destroy();
    }
  } finally {
    clearInterval(keepAwake);
  }
}

function frameOf({ id, event, data }: JobEvent): string {
  return `event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** A body made of `bytes`; whatever they hold on to is let go with the reply. */
export function bodyOf(bytes: AsyncIterable<Uint8Array>, release: Disposable): Readable {
  return Readable.from(releasing(bytes, release), { objectMode: false, highWaterMark: 256 * 2 ** 10 });
}

async function* releasing(bytes: AsyncIterable<Uint8Array>, release: Disposable): AsyncGenerator<Uint8Array> {
  using _held = release;
  yield* bytes;
}

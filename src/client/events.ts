/** A job's events as one unbroken sequence, whatever happens to the connections it comes over. */
import type { IncomingMessage } from "node:http";
import { z } from "zod";
import { Backoff, sleep, withDeadline } from "../async/index.ts";
import { isError, SallyportError } from "../errors.ts";
import { issuesToError, jobResultSchema, type JobResult } from "../protocol/index.ts";
import type { HubHttp } from "./http.ts";
import { SseParser, type SseEvent } from "./sse.ts";
import { hubUnreachable } from "./unreachable.ts";

/** `id` is the position behind the event: what `lastEventId` takes to go on from there. */
export type JobEvent = { id: string } & (
  | { type: "queued"; job: string }
  | { type: "leased"; attempt: number; worker: string }
  | { type: "started"; attempt: number }
  | {
      type: "stdout" | "stderr";
      /** position of the first byte in its stream, within its attempt */
      offset: number;
      bytes: Uint8Array;
    }
  | { type: "gap" | "call"; details: Record<string, unknown> }
  | { type: "finished"; result: JobResult }
);

export interface FollowOptions {
  /** Go on behind this event; from the start without it */
  lastEventId?: string;
  /** How long to keep trying while no connection brings anything, in `ms`; 2 minutes without it */
  patienceMs?: number;
  signal?: AbortSignal | undefined;
  /** Told each time the connection broke and another try is due */
  onRetry?: (error: SallyportError) => void;
}

/** Silence after which a connection counts as broken, in `ms`; the hub sends a comment every 15 s. */
const silenceMs = 45_000;

const readers = {
  queued: z.object({ job: z.string() }),
  leased: z.object({ attempt: z.number(), worker: z.string() }),
  started: z.object({ attempt: z.number() }),
  output: z.object({ offset: z.number(), text: z.string().optional(), base64: z.string().optional() }),
  open: z.record(z.string(), z.unknown()),
  finished: z.object({ result: jobResultSchema }),
};

/**
 * Ends behind `finished`. A broken connection is opened again behind the last event, with growing waits, until
 * `patienceMs` pass without an event; then `hub_unreachable`. Errors another try cannot help with are thrown at once.
 */
export async function* followEvents(
  http: HubHttp,
  job: string,
  options: FollowOptions = {},
  first?: IncomingMessage,
): AsyncGenerator<JobEvent> {
  const { signal, onRetry } = options;
  const failing = new Failing(options.patienceMs);
  let lastEventId = options.lastEventId;
  let reply = first;
  for (;;) {
    try {
      reply ??= await open(http, job, lastEventId, signal);
      if (reply.statusCode === 204) return void reply.resume();
      let finished = false;
      for await (const event of readEvents(http, reply, signal)) {
        lastEventId = event.id;
        failing.reset();
        yield event;
        finished = event.type === "finished";
      }
      if (finished) return;
      throw new SallyportError("hub_unreachable", `${http.url} ended the events before the job's end`);
    } catch (error) {
      reply = undefined;
      if (!isError(error) || !error.retryable) throw error;
      const waitMs = failing.nextWait(error);
      onRetry?.(error);
      await sleep(waitMs, signal);
    }
  }
}

/** How long tries have brought nothing. */
class Failing {
  readonly #backoff = new Backoff({ baseMs: 200, capMs: 5_000 });
  readonly #patienceMs: number;
  #since: number | undefined;

  constructor(patienceMs = 120_000) {
    this.#patienceMs = patienceMs;
  }

  /** Throws `error` when patience is over. */
  nextWait(error: SallyportError): number {
    this.#since ??= performance.now();
    if (performance.now() - this.#since >= this.#patienceMs) throw error;
    return this.#backoff.next();
  }

  reset(): void {
    this.#since = undefined;
    this.#backoff.reset();
  }
}

function open(
  http: HubHttp,
  job: string,
  lastEventId: string | undefined,
  signal: AbortSignal | undefined,
): Promise<IncomingMessage> {
  const headers = { accept: "text/event-stream", ...(lastEventId && { "last-event-id": lastEventId }) };
  return http.send(`/v1/jobs/${encodeURIComponent(job)}/events`, { headers, signal });
}

/** The events of one connection; leaving the loop closes it. */
async function* readEvents(
  http: HubHttp,
  reply: IncomingMessage,
  signal: AbortSignal | undefined,
): AsyncGenerator<JobEvent> {
  const parser = new SseParser();
  const chunks = reply[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  try {
    for (;;) {
      const next = await withDeadline(chunks.next(), silenceMs, `a sign of life from ${http.url}`);
      if (next.done === true) return;
      const events = parser.push(next.value).map(readEvent);
      yield* events.filter((event) => event !== undefined);
      if (events.at(-1)?.type === "finished") return;
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw isError(error) ? error : hubUnreachable(http.url, error);
  } finally {
    reply.destroy();
  }
}

/** Undefined for events this version does not know. */
function readEvent(event: SseEvent): JobEvent | undefined {
  const { id } = event;
  switch (event.event) {
    case "queued":
      return { id, type: event.event, ...read(readers.queued, event) };
    case "leased":
      return { id, type: event.event, ...read(readers.leased, event) };
    case "started":
      return { id, type: event.event, ...read(readers.started, event) };
    case "stdout":
    case "stderr": {
      const { offset, text, base64 } = read(readers.output, event);
      const bytes = text === undefined ? Buffer.from(base64 ?? "", "base64") : Buffer.from(text, "utf8");
      return { id, type: event.event, offset, bytes };
    }
    case "gap":
    case "call":
      return { id, type: event.event, details: read(readers.open, event) };
    case "finished":
      return { id, type: event.event, ...read(readers.finished, event) };
    default:
      return undefined;
  }
}

function read<T>(schema: z.ZodType<T>, event: SseEvent): T {
  let json: unknown;
  try {
    json = JSON.parse(event.data);
  } catch {
    throw new SallyportError("protocol_violation", `event ${event.event}: its data is not JSON`);
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw issuesToError(parsed.error, "protocol_violation", `event ${event.event}`);
}

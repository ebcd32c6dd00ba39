import type { IncomingStream } from "../../channel/index.ts";
import { isError, SallyportError } from "../../errors.ts";
import {
  limits,
  readEvent,
  readGap,
  RecordReader,
  type LogPlace,
  type PlacedRecord,
  type WorkerStream,
} from "../../protocol/index.ts";
import type { LiveJob } from "../live/live-job.ts";
import { LogTail, type LogPart } from "../live/log-tail.ts";
import { placeInLog } from "../live/place-in-log.ts";
import type { HubContext } from "./context.ts";
import type { HeldJob } from "./held-job.ts";
import { refOf } from "./registry.ts";
import { supersededError, tellSuperseded } from "./superseded.ts";
import type { WorkerConnection } from "./worker-connection.ts";

export type OutputStream = IncomingStream<Extract<WorkerStream, { kind: "output" }>>;

/** Takes one attempt's log until the stream ends. What goes wrong resets the stream with the reason. */
export async function takeOutput(
  context: HubContext,
  connection: WorkerConnection,
  stream: OutputStream,
): Promise<void> {
  const lease = refOf(stream.meta);
  const held = connection.heldUnder(lease);
  if (held === undefined) {
    stream.reset(supersededError(lease));
    tellSuperseded(context, connection, lease, "output");
    return;
  }
  using live = context.live.open(held.jobId, "writer");
  try {
    await new OutputIntake(context, { stream, held, job: live.job }).run();
    stream.finish();
  } catch (error) {
    const reason = SallyportError.from(error);
    stream.reset(reason);
    const { jobId } = held;
    if (reason.code === "lease_superseded") tellSuperseded(context, connection, lease, "output");
    else if (isError(error, "stream_reset", "channel_closed"))
      connection.log.debug({ jobId, err: error }, "output broken off");
    else connection.log.warn({ jobId, code: reason.code, err: error }, "output refused");
  }
}

interface IntakeOptions {
  stream: OutputStream;
  held: HeldJob;
  job: LiveJob;
}

/**
 * Whole records go to live readers at once and to the store in batches, one batch while the one before is being committed. A grant
 * is given for what is committed, so the channel's window bounds what is held here.
 */
class OutputIntake {
  readonly #context: HubContext;
  readonly #stream: OutputStream;
  readonly #held: HeldJob;
  readonly #job: LiveJob;
  readonly #reader: Promise<RecordReader>;
  /** bytes of a record that is not whole yet */
  #rest: Uint8Array[] = [];
  /** whole records that wait for the store */
  #waiting: LogPart[] = [];
  #committing: Promise<void> | undefined;
  #failure: SallyportError | undefined;

  constructor(context: HubContext, options: IntakeOptions) {
    this.#context = context;
    this.#stream = options.stream;
    this.#held = options.held;
    this.#job = options.job;
    this.#reader = this.#open();
  }

  /** Resolves when the stream ended and all of it is on disk. */
  async run(): Promise<void> {
    try {
      const reader = await this.#reader;
      for await (const chunk of this.#stream.chunks) this.#take(reader, chunk);
      reader.end();
    } catch (error) {
      this.#failure ??= SallyportError.from(error);
    }
    await this.#committing;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #open(): Promise<RecordReader> {
    const { from, attempt } = this.#stream.meta;
    const log = { job: this.#job, log: this.#context.store.log };
    const place = await placeInLog(log, { attempt, position: from });
    const { tail } = this.#job;
    if (tail?.attempt !== attempt || tail.place.position < from) {
      this.#job.tail = new LogTail(attempt, place);
    }
    return new RecordReader(place);
  }

  #take(reader: RecordReader, chunk: Uint8Array): void {
    const before: LogPlace = { ...reader.place };
    reader.push(chunk).forEach(checkReadable);
    this.#rest.push(chunk);
    const size = reader.place.position - before.position;
    if (size === 0) {
      if (reader.pending < limits.streamWindow) return;
      throw new SallyportError("protocol_violation", "output: a record is larger than the stream's window");
    }
    const bytes = this.#rest.length === 1 ? chunk : Buffer.concat(this.#rest);
    this.#rest = size < bytes.length ? [bytes.subarray(size)] : [];
    const part: LogPart = { before, after: { ...reader.place }, bytes: bytes.subarray(0, size) };
    this.#job.tail?.append(part);
    this.#job.changed.notify();
    this.#waiting.push(part);
    this.#committing ??= this.#commit();
  }

  /** Commits until nothing waits. A failure ends the stream, and with it `run`. */
  async #commit(): Promise<void> {
    try {
      while (this.#waiting.length > 0) await this.#append(this.#waiting.splice(0));
    } catch (error) {
      this.#failure ??= SallyportError.from(error);
      this.#waiting = [];
      this.#stream.reset(this.#failure);
    } finally {
      this.#committing = undefined;
    }
  }

  async #append(parts: readonly LogPart[]): Promise<void> {
    const first = parts[0]?.before;
    const last = parts.at(-1)?.after;
    if (first === undefined || last === undefined) return;
    const size = last.position - first.position;
    const addition = {
      from: first.position,
      bytes: parts.map((part) => part.bytes),
      stdout: last.stdoutBytes - first.stdoutBytes,
      stderr: last.stderrBytes - first.stderrBytes,
    };
    const end = await this.#held.record(() => this.#context.store.log.append(this.#held.lease, addition));
    if (end === "superseded") throw supersededError(this.#held.lease);
    this.#job.tail?.committed(end, this.#job.readers);
    this.#context.metrics.outputBytes.inc(size);
    this.#stream.grant(size);
  }
}

/** A record that no reader could make out would end everybody's way through this log. Throws `protocol_violation`. */
function checkReadable(record: PlacedRecord): void {
  if (record.kind === "event") readEvent(record);
  if (record.kind === "gap") readGap(record);
}

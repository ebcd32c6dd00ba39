import { ChunkQueue } from "../../async/index.ts";
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
import { LogTail } from "../live/log-tail.ts";
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

/** Whole records on their way to the store. */
interface Batch {
  readonly before: LogPlace;
  after: LogPlace;
  readonly bytes: ChunkQueue;
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
  readonly #rest = new ChunkQueue();
  /** waits for the store */
  #waiting: Batch | undefined;
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
    const before = reader.place;
    reader.push(chunk).forEach(checkReadable);
    const after = reader.place;
    const size = after.position - before.position;
    if (size === 0) {
      this.#rest.push(chunk);
      if (reader.pending < limits.streamWindow) return;
      throw new SallyportError("protocol_violation", "output: a record is larger than the stream's window");
    }
    const bytes = this.#rest.isEmpty ? chunk : Buffer.concat([...this.#rest.takeAll(), chunk]);
    if (size < bytes.length) this.#rest.push(bytes.subarray(size));
    const whole = bytes.subarray(0, size);
    this.#job.tail?.append({ before, after, bytes: whole });
    this.#job.changed.notify();
    this.#waiting ??= { before, after, bytes: new ChunkQueue() };
    this.#waiting.after = after;
    this.#waiting.bytes.push(whole);
    this.#committing ??= this.#commit();
  }

  /** Commits until nothing waits. A failure ends the stream, and with it `run`. */
  async #commit(): Promise<void> {
    try {
      for (let batch = this.#waiting; batch !== undefined; batch = this.#waiting) {
        this.#waiting = undefined;
        await this.#append(batch);
      }
    } catch (error) {
      this.#failure ??= SallyportError.from(error);
      this.#waiting = undefined;
      this.#stream.reset(this.#failure);
    } finally {
      this.#committing = undefined;
    }
  }

  async #append({ before, after, bytes }: Batch): Promise<void> {
    const size = after.position - before.position;
    const addition = {
      from: before.position,
      bytes: bytes.takeAll(),
      stdout: after.stdoutBytes - before.stdoutBytes,
      stderr: after.stderrBytes - before.stderrBytes,
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

/** One job at a simulated worker: its log, its streams and what it tells the hub of itself. */
import { deferred } from "../../src/async/index.ts";
import type { OutgoingStream, WorkerChannel } from "../../src/channel/index.ts";
import {
  encodeRecord,
  eventRecord,
  type AttemptOutcome,
  type HubMessage,
  type HubStream,
  type JobSpec,
  type LeaseRef,
  type WorkerMessage,
} from "../../src/protocol/index.ts";

type HubStreamIn = Parameters<Parameters<WorkerChannel["listen"]>[0]["stream"]>[0];

/** What a job needs of the worker that has it. */
export interface JobHolder {
  readonly held: Map<string, SimulatedJob>;
  readonly channel: WorkerChannel | undefined;
  send(message: WorkerMessage): void;
}

export class SimulatedJob {
  readonly lease: LeaseRef;
  readonly spec: JobSpec;
  readonly cancelled = deferred<string>();
  done = deferred<"recorded" | "superseded">();
  /** fires when the worker is told to forget the job */
  readonly gone = deferred<void>();
  log: Buffer = Buffer.alloc(0);
  /** position up to which the hub has it */
  acked = 0;
  readonly #worker: JobHolder;
  readonly #streams = new Map<string, ReturnType<typeof deferred<HubStreamIn>>>();
  readonly #counts = { stdout: 0, stderr: 0 };
  #output: OutgoingStream | undefined;
  #channel: WorkerChannel | undefined;
  #base = 0;

  constructor(worker: JobHolder, offer: Extract<HubMessage, { type: "offer" }>) {
    this.#worker = worker;
    this.lease = { lease: offer.lease, attempt: offer.attempt, epoch: offer.epoch };
    this.spec = offer.spec;
  }

  /** The log goes on over `channel` from position `from`. */
  attach(channel: WorkerChannel, from: number): void {
    this.#channel = channel;
    this.#output = undefined;
    this.#base = from;
    this.acked = from;
    if (from < this.log.length) this.#write(this.log.subarray(from));
  }

  forget(): void {
    const { held } = this.#worker;
    if (held.get(this.lease.lease) === this) held.delete(this.lease.lease);
    this.gone.resolve();
  }

  started(at = Date.now()): void {
    this.print("event", Buffer.from(JSON.stringify({ event: "started" })));
    this.#worker.send({ type: "lease.started", ...this.lease, at });
  }

  print(kind: "stdout" | "stderr" | "event", content: string | Uint8Array): void {
    const bytes = typeof content === "string" ? Buffer.from(content) : content;
    const at = Date.now();
    const record = encodeRecord(
      kind === "event" ? { ...eventRecord(at, { event: "started" }), bytes } : { kind, at, bytes },
    );
    this.log = Buffer.concat([this.log, record]);
    if (kind !== "event") this.#counts[kind] += bytes.length;
    this.#write(record);
  }

  /** Sends a record without keeping it, at the pace of the hub: for much output. */
  async stream(kind: "stdout" | "stderr", bytes: Uint8Array): Promise<void> {
    this.#counts[kind] += bytes.length;
    this.#output ??= this.#open();
    await this.#output.write(encodeRecord({ kind, at: Date.now(), bytes }));
  }

  /** Resolves once the hub has all of the log. */
  async flush(): Promise<void> {
    if (this.#output === undefined) return;
    this.#output.end();
    await this.#output.finished;
  }

  outcome(over: Partial<AttemptOutcome> = {}): AttemptOutcome {
    return {
      reason: "exited",
      exitCode: 0,
      signal: null,
      oom: false,
      timings: { startMs: 1, runMs: 1, warm: false },
      usage: { cpuMs: 1, maxRssBytes: 1 },
      output: { stdoutBytes: this.#counts.stdout, stderrBytes: this.#counts.stderr, truncated: false },
      logEnd: this.log.length,
      missing: null,
      artifacts: [],
      calls: 0,
      error: null,
      ...over,
    };
  }

  /** Reports the end of the attempt; resolves with the hub's answer. */
  async exit(over: Partial<AttemptOutcome> = {}): Promise<"recorded" | "superseded"> {
    await this.flush();
    this.#worker.send({ type: "lease.exit", ...this.lease, outcome: this.outcome(over) });
    const answer = await this.done.promise;
    this.forget();
    return answer;
  }

  async sendArtifact(path: string, bytes: Uint8Array, size = bytes.length): Promise<void> {
    const stream = this.#worker.channel?.open({ kind: "artifact", ...this.lease, path, size });
    await stream?.write(bytes);
    stream?.end();
    await stream?.finished;
  }

  /** The stream the hub opened for `kind`. */
  async incoming(kind: HubStream["kind"]): Promise<HubStreamIn> {
    return await this.#slot(kind).promise;
  }

  streamOpened(stream: HubStreamIn): void {
    if (this.#slot(stream.meta.kind).settled) this.#streams.delete(stream.meta.kind);
    this.#slot(stream.meta.kind).resolve(stream);
  }

  /** Everything of a stream, granted as it comes. */
  async readAll(kind: HubStream["kind"]): Promise<Buffer> {
    const stream = await this.incoming(kind);
    const chunks: Uint8Array[] = [];
    for await (const chunk of stream.chunks) {
      chunks.push(chunk);
      stream.grant(chunk.length);
    }
    stream.finish();
    return Buffer.concat(chunks);
  }

  #slot(kind: string): ReturnType<typeof deferred<HubStreamIn>> {
    const slot = this.#streams.get(kind) ?? deferred<HubStreamIn>();
    this.#streams.set(kind, slot);
    return slot;
  }

  #write(bytes: Uint8Array): void {
    this.#output ??= this.#open();
    this.#output.write(bytes).catch(() => undefined);
  }

  #open(): OutgoingStream {
    if (this.#channel === undefined) throw new Error("not attached");
    const stream = this.#channel.open({ kind: "output", ...this.lease, from: this.#base });
    stream.onGrant((granted) => (this.acked = this.#base + granted));
    stream.finished.catch(() => undefined);
    return stream;
  }
}

/** How a simulated worker runs its first job as the test says: `job` resolves once it has started. */
export function steered(): { run: (job: SimulatedJob) => Promise<void>; job: Promise<SimulatedJob> } {
  const begun = deferred<SimulatedJob>();
  return {
    job: begun.promise,
    run: async (job) => {
      job.started();
      begun.resolve(job);
      await job.cancelled.promise;
    },
  };
}

/** The far end of a worker, in memory: offers jobs, keeps what comes back, and misbehaves where a test tells it to. */
import assert from "node:assert/strict";
import { Notifier } from "../../src/async/index.ts";
import {
  hubDialect,
  memoryChannelPair,
  workerDialect,
  type HubChannel,
  type IncomingStream,
  type MemoryLink,
  type WorkerChannel,
} from "../../src/channel/index.ts";
import { SallyportError } from "../../src/errors.ts";
import {
  defaultIntervals,
  protocolVersions,
  sameLease,
  type HeldLease,
  type HubMessage,
  type Intervals,
  type Verdict,
  type WorkerMessage,
  type WorkerStream,
} from "../../src/protocol/index.ts";
import { jobSpec, SimulatedJob, type OfferParts } from "./memory-hub-jobs.ts";

export interface HubHooks {
  /** Whether beats are answered */
  renews: boolean;
  /** Whether `lease.exit` is answered */
  answersExits: boolean;
  /** Whether output is confirmed */
  confirms: boolean;
  /** Whether `offer.accept` is answered */
  confirmsLeases: boolean;
  /** Whether `inputs` are sent after an accept */
  sendsInputs: boolean;
  /** What is said to a lease a worker comes back with */
  verdict: (held: HeldLease) => Verdict | undefined;
  /** Sees everything a worker says, before the hub acts on it */
  heard: (message: WorkerMessage) => void;
  /** Sees how many bytes of output came in all */
  printed: (job: SimulatedJob, bytes: number) => void;
  /** What a dial throws */
  refuses: () => SallyportError | undefined;
}

export interface HubEnd {
  channel: HubChannel;
  link: MemoryLink;
}

export class SimulatedHub implements AsyncDisposable {
  readonly intervals: Intervals;
  readonly jobs = new Map<string, SimulatedJob>();
  readonly messages: WorkerMessage[] = [];
  readonly ends: HubEnd[] = [];
  readonly hooks: HubHooks;
  dials = 0;
  readonly #changed = new Notifier();
  #printed = 0;
  #next = 0;

  constructor(intervals: Partial<Intervals> = {}, hooks: Partial<HubHooks> = {}) {
    this.intervals = { ...defaultIntervals, ...intervals };
    this.hooks = {
      renews: true,
      answersExits: true,
      confirms: true,
      confirmsLeases: true,
      sendsInputs: true,
      verdict: (held) => this.#verdict(held),
      heard: () => undefined,
      printed: () => undefined,
      refuses: () => undefined,
      ...hooks,
    };
  }

  /** The live connection, the newest one */
  get end(): HubEnd {
    const end = this.ends.at(-1);
    assert.ok(end !== undefined, "no worker is connected");
    return end;
  }

  readonly dial = async (): Promise<WorkerChannel> => {
    this.dials += 1;
    const refusal = this.hooks.refuses();
    if (refusal !== undefined) throw refusal;
    const { a, b, link } = memoryChannelPair(workerDialect, hubDialect);
    const end: HubEnd = { channel: b, link };
    b.listen({
      message: (message) => this.#hear(end, message),
      stream: (stream) => void this.#take(end, stream),
    });
    return a;
  };

  /** Offers a job over the live connection. */
  offer(parts: OfferParts): SimulatedJob {
    this.#next += 1;
    const spec = jobSpec(parts.spec);
    const ref = { lease: `job-${this.#next}`, attempt: 1, epoch: 1, ...parts.ref };
    const job = new SimulatedJob(ref, spec, parts.inputs ?? new Uint8Array(0));
    this.jobs.set(ref.lease, job);
    this.sendOffer(job);
    return job;
  }

  sendOffer(job: SimulatedJob): void {
    this.say({ type: "offer", ...job.ref, kind: "job", acceptWithinMs: 5_000, tenant: "t", spec: job.spec });
  }

  say(message: HubMessage): void {
    this.end.channel.send(message);
  }

  /** Resolves once `condition` holds; looked at whenever something came from a worker. */
  async until(condition: () => boolean, what: string): Promise<void> {
    const signal = AbortSignal.timeout(10_000);
    while (!condition()) {
      const changed = this.#changed.wait(signal);
      changed.catch(() => undefined);
      const late = new Promise((resolve) => setTimeout(resolve, 5));
      await Promise.race([changed, late]);
      assert.ok(!signal.aborted, `waited too long for: ${what}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { channel } of this.ends) channel.abort(new SallyportError("shutting_down", "test over"));
  }

  #hear(end: HubEnd, message: WorkerMessage): void {
    this.messages.push(message);
    this.hooks.heard(message);
    this.#act(end, message);
    this.#changed.notify();
  }

  #act(end: HubEnd, message: WorkerMessage): void {
    const { channel } = end;
    switch (message.type) {
      case "hello":
        this.ends.push(end);
        channel.send({
          type: "welcome",
          protocol: protocolVersions.max,
          hubId: "hub",
          session: `session-${this.ends.length}`,
          intervals: this.intervals,
          verdicts: this.#verdicts(message.leases),
        });
        return;
      case "heartbeat":
        if (this.hooks.renews) channel.send({ type: "heartbeat.ack", seq: message.seq, cancelled: [] });
        return;
      case "leases":
        channel.send({ type: "leases.verdicts", verdicts: this.#verdicts(message.leases) });
        return;
      case "offer.accept":
      case "offer.reject":
        this.#answered(end, message);
        return;
      case "lease.started":
        this.jobs.get(message.lease)?.started.push(message.at);
        return;
      case "lease.exit":
        this.#exited(end, message);
        return;
      case "draining":
      case "profiles":
      case "routes":
      case "connector.hello":
        return;
    }
  }

  #verdicts(held: readonly HeldLease[]): Verdict[] {
    return held.map((lease) => this.hooks.verdict(lease)).filter((verdict) => verdict !== undefined);
  }

  #verdict(held: HeldLease): Verdict {
    const { lease, attempt, epoch } = held;
    const job = this.jobs.get(lease);
    const known = job !== undefined && sameLease(job.ref, held);
    return { lease, attempt, epoch, verdict: known ? "continue" : "kill", from: job?.durable ?? 0 };
  }

  #answered(
    { channel }: HubEnd,
    message: Extract<WorkerMessage, { type: "offer.accept" | "offer.reject" }>,
  ): void {
    const job = this.jobs.get(message.lease);
    if (job === undefined) return;
    job.answers.push(message);
    if (message.type === "offer.accept" && this.hooks.confirmsLeases)
      channel.send({ type: "lease.confirmed", ...job.ref });
    if (
      message.type === "offer.accept" &&
      job.inputs.length > 0 &&
      this.hooks.sendsInputs &&
      job.answers.length === 1
    )
      this.sendInputs(channel, job);
  }

  sendInputs(channel: HubChannel, job: SimulatedJob): void {
    const stream = channel.open({ kind: "inputs", ...job.ref });
    stream.finished.catch(() => undefined);
    stream.write(job.inputs).then(
      () => stream.end(),
      () => undefined,
    );
  }

  #exited({ channel }: HubEnd, message: Extract<WorkerMessage, { type: "lease.exit" }>): void {
    const job = this.jobs.get(message.lease);
    const mine = job !== undefined && sameLease(job.ref, message);
    if (mine) job.exit(message.outcome);
    if (!this.hooks.answersExits) return;
    const { lease, attempt, epoch } = message;
    channel.send({ type: "lease.done", lease, attempt, epoch, outcome: mine ? "recorded" : "superseded" });
  }

  async #take(end: HubEnd, stream: IncomingStream<WorkerStream>): Promise<void> {
    const job = "lease" in stream.meta ? this.jobs.get(stream.meta.lease) : undefined;
    if (job === undefined) {
      stream.reset(new SallyportError("lease_superseded", "not known here"));
      return;
    }
    try {
      if (stream.meta.kind === "output") await this.#takeOutput(job, stream, stream.meta.from);
      else if (stream.meta.kind === "artifact") await this.#takeArtifact(job, stream, stream.meta.path);
      if (this.hooks.confirms) stream.finish();
    } catch (error) {
      if (error instanceof assert.AssertionError)
        end.channel.abort(new SallyportError("internal", error.message));
    }
    this.#changed.notify();
  }

  async #takeOutput(job: SimulatedJob, stream: IncomingStream<WorkerStream>, from: number): Promise<void> {
    let at = from;
    for await (const chunk of stream.chunks) {
      this.#printed += chunk.length;
      this.hooks.printed(job, this.#printed);
      if (!this.hooks.confirms) continue;
      job.append(at, chunk);
      at += chunk.length;
      stream.grant(chunk.length);
      this.#changed.notify();
    }
  }

  async #takeArtifact(job: SimulatedJob, stream: IncomingStream<WorkerStream>, path: string): Promise<void> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of stream.chunks) {
      chunks.push(chunk);
      stream.grant(chunk.length);
    }
    job.artifacts.set(path, Buffer.concat(chunks));
  }
}

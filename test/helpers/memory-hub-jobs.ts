/** The jobs of a simulated hub: what it offers, and what it keeps of each one. */
import assert from "node:assert/strict";
import { deferred } from "../../src/async/index.ts";
import {
  RecordReader,
  type AttemptOutcome,
  type JobSpec,
  type LeaseRef,
  type WorkerMessage,
} from "../../src/protocol/index.ts";

/** What the hub knows of one lease it offered. */
export class SimulatedJob {
  readonly ref: LeaseRef;
  readonly spec: JobSpec;
  readonly inputs: Uint8Array;
  readonly answers: WorkerMessage[] = [];
  readonly artifacts = new Map<string, Buffer>();
  /** every `lease.started` told, wall clock `ms` */
  readonly started: number[] = [];
  /** every `lease.exit` told */
  readonly exits: AttemptOutcome[] = [];
  readonly #finished = deferred<AttemptOutcome>();
  #log: Buffer = Buffer.alloc(0);

  constructor(ref: LeaseRef, spec: JobSpec, inputs: Uint8Array) {
    this.ref = ref;
    this.spec = spec;
    this.inputs = inputs;
  }

  get finished(): Promise<AttemptOutcome> {
    return this.#finished.promise;
  }

  /** position up to which the log is safe here */
  get durable(): number {
    return this.#log.length;
  }

  /** Adds what lies above the durable end; a gap fails the test. */
  append(at: number, bytes: Uint8Array): void {
    assert.ok(at <= this.durable, `gap: bytes at ${at}, durable end is ${this.durable}`);
    this.#log = Buffer.concat([this.#log, bytes.subarray(Math.min(bytes.length, this.durable - at))]);
  }

  exit(outcome: AttemptOutcome): void {
    this.exits.push(outcome);
    this.#finished.resolve(outcome);
  }

  printed(kind: "stdout" | "stderr" | "event"): Buffer {
    const records = new RecordReader().push(this.#log);
    return Buffer.concat(records.filter((record) => record.kind === kind).map((record) => record.bytes));
  }
}

export interface OfferParts {
  spec: Partial<JobSpec>;
  ref?: Partial<LeaseRef>;
  inputs?: Uint8Array;
}

export function jobSpec(parts: Partial<JobSpec>): JobSpec {
  return {
    profile: "fast",
    run: { command: ["true"] },
    env: {},
    files: [],
    stdin: { mode: "none" },
    mcp: [],
    timeoutMs: 60_000,
    outputBytes: 64 * 2 ** 20,
    artifacts: [],
    artifactBytes: 1 * 2 ** 20,
    labels: {},
    priority: 0,
    maxAttempts: 1,
    ...parts,
  };
}

export function run(...command: string[]): { run: JobSpec["run"] } {
  return { run: { command } };
}

/** Bytes of every value, the same at every call, without a short period. */
export function anyBytes(count: number): Buffer {
  const bytes = Buffer.alloc(count);
  let state = 7;
  for (let at = 0; at < count; at += 1) {
    state = (state * 48_271) % 2_147_483_647;
    bytes[at] = state & 0xff;
  }
  return bytes;
}

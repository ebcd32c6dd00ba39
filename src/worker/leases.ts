/** What this worker holds: each lease from its accept until the hub knows its result, or takes it away. */
import { deferred, Notifier } from "../async/index.ts";
import { StopOrder, type StopReason } from "./stop.ts";
import { InputSource } from "./input-source.ts";
import { OutputStream } from "./output-stream.ts";
import { Spool, type SpoolOptions } from "./spool.ts";
import { leasesHash, sameLease, type HeldLease, type JobSpec, type LeaseRef } from "../protocol/index.ts";
import type { Log } from "../log.ts";
import type { Profile } from "../sandbox/index.ts";

/** Why a lease is no longer held: `recorded`: its result is safe · the others: it is somebody else's or nobody's. */
export type LeaseEnd = "recorded" | "superseded" | "killed";

export interface LeaseOffer {
  ref: LeaseRef;
  spec: JobSpec;
  profile: Profile;
}

/** One lease. It ends once; the first end wins. */
export class Lease {
  readonly ref: LeaseRef;
  readonly spec: JobSpec;
  readonly profile: Profile;
  /** monotonic `ms` */
  readonly acceptedAt = performance.now();
  readonly stop = new StopOrder();
  readonly spool: Spool;
  readonly output: OutputStream;
  readonly inputs: InputSource;
  readonly stdin: InputSource;
  /** wall clock `ms` of the command's start */
  startedAt: number | undefined;
  readonly #workerLog: Log;
  readonly #confirmed = deferred<void>();
  readonly #ended = new AbortController();
  #log: Log | undefined;
  #end: LeaseEnd | undefined;

  constructor(offer: LeaseOffer, deps: { log: Log }, options: { spool: SpoolOptions; inputsMs: number }) {
    this.ref = offer.ref;
    this.spec = offer.spec;
    this.profile = offer.profile;
    this.#workerLog = deps.log;
    this.spool = new Spool(this, options.spool);
    this.output = new OutputStream(this, offer.ref);
    const resumeMs = options.inputsMs;
    this.inputs = new InputSource({ resumeMs, total: inputBytes(offer.spec) });
    this.stdin = new InputSource({ resumeMs: Number.POSITIVE_INFINITY });
  }

  /** Names the lease in every line. Made with its first use, since most leases have nothing to tell. */
  get log(): Log {
    this.#log ??= this.#workerLog.child({ ...this.ref });
    return this.#log;
  }

  /** How it ended, once it did */
  get end(): LeaseEnd | undefined {
    return this.#end;
  }

  /** Fires when it ends. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /**
   * Resolves once the hub said that it heard the acceptance. An offer that was answered late may be somebody else's by then, so no
   * command is started before.
   */
  get confirmed(): Promise<void> {
    return this.#confirmed.promise;
  }

  confirm(): void {
    this.#confirmed.resolve();
  }

  /** Whether its command may have been started */
  get isConfirmed(): boolean {
    return this.#confirmed.settled;
  }

  get held(): HeldLease {
    return { ...this.ref, kind: "job", from: this.spool.from, to: this.spool.to };
  }

  /** False when it had ended before. What still runs of it is killed; nobody waits for its result any more. */
  finish(end: LeaseEnd): boolean {
    if (this.#end !== undefined) return false;
    this.#end = end;
    const error = this.stop.request("superseded", 0);
    this.stop[Symbol.dispose]();
    this.inputs.close(() => error);
    this.stdin.close(() => error);
    this.output[Symbol.dispose]();
    this.#ended.abort(error);
    return true;
  }
}

/** bytes the `inputs` stream carries */
export function inputBytes(spec: JobSpec): number {
  const stdin = spec.stdin.mode === "text" ? spec.stdin.size : 0;
  return spec.files.reduce((sum, file) => sum + file.size, stdin);
}

export class LeaseTable {
  readonly #leases = new Map<string, Lease>();
  readonly #abandoned = new Map<string, HeldLease>();
  readonly #changed = new Notifier();

  get size(): number {
    return this.#leases.size;
  }

  /** How many `introduced` names, which a `hello` has a bound for */
  get named(): number {
    return this.#leases.size + this.#abandoned.size;
  }

  get hash(): string {
    return leasesHash(this.refs());
  }

  /** Every lease as it is told to the hub */
  held(): HeldLease[] {
    return [...this.#leases.values()].map((lease) => lease.held);
  }

  /**
   * Those, and what was abandoned since a hub was last greeted. A hub takes back an offer that the worker does not name as one
   * nothing ran of: it may have said that it heard the acceptance and not have come to write it down.
   */
  introduced(): HeldLease[] {
    return [...this.held(), ...this.#abandoned.values()];
  }

  /** A hub has heard what `introduced` said and judged it. */
  greeted(told: readonly HeldLease[]): void {
    for (const held of told) {
      const abandoned = this.#abandoned.get(held.lease);
      if (abandoned !== undefined && sameLease(abandoned, held)) this.#abandoned.delete(held.lease);
    }
  }

  all(): Lease[] {
    return [...this.#leases.values()];
  }

  refs(): LeaseRef[] {
    return [...this.#leases.values()].map((lease) => lease.ref);
  }

  /** The lease with this id, whichever attempt of it is held */
  byId(id: string): Lease | undefined {
    return this.#leases.get(id);
  }

  /** Exactly this grant, or nothing */
  find(ref: LeaseRef): Lease | undefined {
    const lease = this.#leases.get(ref.lease);
    return lease !== undefined && sameLease(lease.ref, ref) ? lease : undefined;
  }

  add(lease: Lease): void {
    this.#leases.set(lease.ref.lease, lease);
    // whoever grants it anew has settled what was granted before
    this.#abandoned.delete(lease.ref.lease);
  }

  /** Ends a lease that is over though nobody said so. */
  abandon(lease: Lease): void {
    if (lease.isConfirmed) this.#abandoned.set(lease.ref.lease, lease.held);
    this.finish(lease, "superseded");
  }

  finish(lease: Lease, end: LeaseEnd): void {
    if (!lease.finish(end)) return;
    if (this.#leases.get(lease.ref.lease) === lease) this.#leases.delete(lease.ref.lease);
    this.#changed.notify();
  }

  stopAll(reason: StopReason): void {
    for (const lease of this.#leases.values()) lease.stop.request(reason, 0);
  }

  /** Resolves once nothing is held; rejects with the signal's reason. */
  async empty(signal: AbortSignal): Promise<void> {
    while (this.#leases.size > 0) await this.#changed.wait(signal);
  }
}

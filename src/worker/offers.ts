/** Answers offers: the same offer always the same, an accepted one with work begun in the same turn. */
import type { HubMessage, LeaseRef, RejectReason, WorkerMessage } from "../protocol/index.ts";
import type { Log } from "../log.ts";
import type { Admission } from "./admission.ts";
import type { WorkerChannel } from "../channel/index.ts";
import type { Jobs } from "./jobs.ts";
import { Lease, type LeaseTable } from "./leases.ts";
import type { Profiles } from "./profiles.ts";
import type { SpoolOptions } from "./spool.ts";

export type Offer = Extract<HubMessage, { type: "offer" }>;
type Answer = Extract<WorkerMessage, { type: "offer.accept" | "offer.reject" }>;

export interface OfferDeps {
  admission: Admission;
  jobs: Jobs;
  leases: LeaseTable;
  profiles: Profiles;
  log: Log;
}

export interface OfferOptions {
  spool: SpoolOptions;
  inputsMs: number;
  draining: () => boolean;
}

/** Leases named in one `hello` at most */
const maxHeld = 10_000;
/** Answers kept for offers that come twice */
const maxAnswers = 4_096;

export class Offers {
  readonly #deps: OfferDeps;
  readonly #options: OfferOptions;
  readonly #answers = new Map<string, Answer>();

  constructor(deps: OfferDeps, options: OfferOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  answer(offer: Offer, channel: WorkerChannel): void {
    const ref: LeaseRef = { lease: offer.lease, attempt: offer.attempt, epoch: offer.epoch };
    const key = `${ref.lease}:${ref.attempt}:${ref.epoch}`;
    const known = this.#answers.get(key);
    if (known !== undefined) {
      channel.send(known);
      return;
    }
    const refusal = this.#refusal(offer);
    const answer: Answer =
      refusal === undefined ? { type: "offer.accept", ...ref } : { type: "offer.reject", ...ref, ...refusal };
    this.#remember(key, answer);
    channel.send(answer);
    if (refusal === undefined) this.#begin(offer, ref, channel);
  }

  #refusal(offer: Offer): { reason: RejectReason; detail: string } | undefined {
    const { admission, leases, profiles } = this.#deps;
    if (this.#options.draining()) return refuse("draining", "the worker is draining");
    const profile = profiles.get(offer.spec.profile);
    if (profile === undefined) return refuse("profile_unknown", `no profile ${offer.spec.profile}`);
    const unusable = profiles.unusable(profile);
    if (unusable !== undefined) return refuse("profile_unusable", unusable.message);
    if (offer.kind === "session") return refuse("profile_unusable", "this worker serves jobs only");
    if (leases.named >= maxHeld) return refuse("no_slot", "too many results wait for the hub");
    const held = leases.byId(offer.lease);
    if (held !== undefined && held.ref.epoch > offer.epoch)
      return refuse("no_slot", `epoch ${held.ref.epoch} of this lease is held`);
    const short = admission.refuse(profile.resources.memory);
    if (short === undefined) return undefined;
    const { slots, memory } = admission.free;
    return refuse(short, short === "no_slot" ? `${slots} slots free` : `${memory} bytes of memory free`);
  }

  /** A newer grant of a lease that is held says that the held one is over. */
  #begin(offer: Offer, ref: LeaseRef, channel: WorkerChannel): void {
    const { admission, jobs, leases, profiles, log } = this.#deps;
    const profile = profiles.get(offer.spec.profile);
    if (profile === undefined) return;
    const earlier = leases.byId(ref.lease);
    if (earlier !== undefined) leases.finish(earlier, "superseded");
    const lease = new Lease({ ref, spec: offer.spec, profile }, { log }, this.#options);
    leases.add(lease);
    lease.output.attach(channel, 0);
    jobs.start(lease, admission.admit(profile.resources.memory));
  }

  #remember(key: string, answer: Answer): void {
    this.#answers.set(key, answer);
    if (this.#answers.size <= maxAnswers) return;
    for (const oldest of this.#answers.keys()) {
      this.#answers.delete(oldest);
      break;
    }
  }
}

function refuse(reason: RejectReason, detail: string): { reason: RejectReason; detail: string } {
  return { reason, detail: detail.slice(0, 1_024) };
}

import type { SallyportError } from "../../errors.ts";
import type { HubChannel } from "../../channel/index.ts";
import type { Log } from "../../log.ts";
import { sameLease, type LeaseRef, type ProfileOffer, type WorkerMessage } from "../../protocol/index.ts";
import { claimBytes, type Claim } from "../../store/index.ts";
import type { Room } from "../dispatch/match.ts";
import { FreeCapacity } from "./free-capacity.ts";
import { HeldJob } from "./held-job.ts";
import { Offerer } from "../tunnel/offerer.ts";
import { mayEnter, type Phase } from "./phase.ts";

type Hello = Extract<WorkerMessage, { type: "hello" }>;

export interface PendingOffer {
  claim: Claim;
  /** whether the store gave the job to this connection: known later for an offer sent ahead of its claim; never rejects */
  granted: Promise<boolean>;
  /** monotonic `ms` */
  sentAt: number;
  timer: NodeJS.Timeout;
}

export interface WorkerConnectionOptions {
  hello: Hello;
  sessionId: string;
  /** silence in `ms` after which nothing is offered */
  suspectMs: number;
}

/** One connected worker: what it said of itself, what it holds, and what it has room for. */
export class WorkerConnection {
  readonly channel: HubChannel;
  readonly log: Log;
  readonly hello: Hello;
  readonly sessionId: string;
  /** wall clock `ms` */
  readonly connectedAt = Date.now();
  readonly free: FreeCapacity;
  /** its part in the tunnel */
  readonly offerer: Offerer;
  readonly held = new Map<string, HeldJob>();
  readonly offers = new Map<string, PendingOffer>();
  /** of the specs of these offers */
  #offeredBytes = 0;
  profiles = new Map<string, ProfileOffer>();
  warm: Record<string, number> = {};
  readonly #suspectMs: number;
  #phase: Phase = "handshaking";
  #seenAt = performance.now();
  /** monotonic `ms`; nothing is offered before it */
  #restUntil = 0;
  /** what claims under way may still bring */
  #aside = { slots: 0, memory: 0 };
  /** it left an offer unanswered and has accepted none since */
  #onTrial = false;

  constructor(deps: { channel: HubChannel; log: Log }, options: WorkerConnectionOptions) {
    this.channel = deps.channel;
    this.hello = options.hello;
    this.sessionId = options.sessionId;
    this.#suspectMs = options.suspectMs;
    this.log = deps.log.child({ workerId: options.hello.workerId, sessionId: options.sessionId });
    this.free = new FreeCapacity(options.hello.capacity);
    this.offerer = new Offerer(deps.channel, { id: options.hello.workerId, kind: "worker" });
    this.offer(options.hello.profiles);
  }

  get workerId(): string {
    return this.hello.workerId;
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** A step the table does not have is logged and left out. */
  enter(phase: Phase): void {
    if (phase === this.#phase) return;
    if (mayEnter(this.#phase, phase)) {
      this.#phase = phase;
      this.offerer.draining ||= phase === "draining";
    } else this.log.error({ from: this.#phase, to: phase }, "connection phase refused");
  }

  seen(): void {
    this.#seenAt = performance.now();
  }

  /** wall clock `ms` */
  get lastSeenAt(): number {
    return Math.round(Date.now() - (performance.now() - this.#seenAt));
  }

  /** `suspect`: silent for too long, or deaf to offers */
  get status(): "ready" | "suspect" | "draining" {
    if (this.#phase === "draining") return "draining";
    const silent = performance.now() - this.#seenAt > this.#suspectMs;
    return silent || this.#onTrial ? "suspect" : "ready";
  }

  /** The profiles it offers from here on. */
  offer(profiles: readonly ProfileOffer[]): void {
    this.profiles = new Map(profiles.map((profile) => [profile.name, profile]));
    this.warm = Object.fromEntries(profiles.map((profile) => [profile.name, profile.warm]));
  }

  /** It did not answer an offer: after a rest it gets one at a time until it accepts again. */
  distrust(): void {
    this.#onTrial = true;
    this.rest(this.#suspectMs);
  }

  /** Offers it nothing for `ms`. */
  rest(ms: number): void {
    this.#restUntil = performance.now() + ms;
  }

  get takesOffers(): boolean {
    const now = performance.now();
    return this.#phase === "ready" && now >= this.#restUntil && now - this.#seenAt <= this.#suspectMs;
  }

  /** So much is on its way to it that it is offered more only once it has answered. */
  get hasEnough(): boolean {
    return this.#offeredBytes >= claimBytes;
  }

  /** How many jobs it can be offered right now, offers in flight taken off. */
  get freeSlots(): number {
    if (!this.takesOffers || this.hasEnough) return 0;
    const slots = this.#onTrial ? Math.min(1, this.free.slots) : this.free.slots;
    return Math.max(0, slots - this.offers.size - this.#aside.slots);
  }

  /** Keeps room for `count` jobs of a profile out of `freeSlots` and `room` until it is disposed. */
  setAside(profile: string, count: number): Disposable {
    const memory = count * this.memoryOf(profile);
    const add = (sign: 1 | -1): void => {
      this.#aside = { slots: this.#aside.slots + sign * count, memory: this.#aside.memory + sign * memory };
    };
    add(1);
    return { [Symbol.dispose]: () => add(-1) };
  }

  /** What it has room for right now. */
  room(): Room {
    const inFlight = [...this.offers.values()].reduce(
      (sum, { claim }) => sum + this.memoryOf(claim.spec.profile),
      0,
    );
    return {
      workerId: this.workerId,
      labels: this.hello.labels,
      slots: this.freeSlots,
      totalSlots: this.hello.capacity.slots,
      memory: this.free.memory - inFlight - this.#aside.memory,
      profiles: new Map(
        [...this.profiles.values()]
          .filter((profile) => profile.unusable === null)
          .map(({ name, resources }) => [name, { memory: resources.memory, warm: this.warm[name] ?? 0 }]),
      ),
    };
  }

  /** Bytes a sandbox of the profile takes. */
  memoryOf(profile: string): number {
    return this.profiles.get(profile)?.resources.memory ?? 0;
  }

  /** It is offered a job. */
  awaitAnswer(offer: PendingOffer): void {
    this.offers.set(offer.claim.jobId, offer);
    this.#offeredBytes += offer.claim.specBytes;
  }

  /** The offer `lease` answers, no longer pending; undefined when there is none. */
  takeOffer(lease: LeaseRef): PendingOffer | undefined {
    const pending = this.offers.get(lease.lease);
    if (pending === undefined || !sameLease(pending.claim.lease, lease)) return undefined;
    clearTimeout(pending.timer);
    this.offers.delete(lease.lease);
    this.#offeredBytes -= pending.claim.specBytes;
    return pending;
  }

  /** It accepted the job, or came back with it. */
  hold(claim: Pick<Claim, "lease" | "spec">): HeldJob {
    const job = new HeldJob(claim);
    this.#onTrial = false;
    this.held.set(job.jobId, job);
    this.free.taken(this.memoryOf(job.spec.profile));
    return job;
  }

  /** The job it holds under exactly this grant. */
  heldUnder(lease: LeaseRef): HeldJob | undefined {
    const job = this.held.get(lease.lease);
    return job !== undefined && sameLease(job.lease, lease) ? job : undefined;
  }

  /** It no longer holds the job; true when it did. */
  letGo(lease: LeaseRef, reason: SallyportError): boolean {
    const job = this.heldUnder(lease);
    if (job === undefined) return false;
    this.held.delete(lease.lease);
    this.free.returned(this.memoryOf(job.spec.profile));
    job.end(reason);
    return true;
  }

  /** The channel is over: nothing is offered or fed through it any more. Returns what it was offered and had not answered. */
  closed(reason: SallyportError): PendingOffer[] {
    this.enter("closed");
    const unanswered = [...this.offers.values()];
    for (const { timer } of unanswered) clearTimeout(timer);
    this.offers.clear();
    for (const job of this.held.values()) job.end(reason);
    return unanswered;
  }
}

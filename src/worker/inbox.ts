/** What the hub says on one channel, turned into what happens to leases. */
import { SallyportError } from "../errors.ts";
import {
  sameLease,
  type HeldLease,
  type HubMessage,
  type HubStream,
  type LeaseRef,
  type Verdict,
} from "../protocol/index.ts";
import type { IncomingStream } from "../channel/index.ts";
import type { WorkerChannel } from "../channel/index.ts";
import type { HubHandlers, TunnelEnd } from "../uplink/index.ts";
import type { Heartbeat } from "./heartbeat.ts";
import type { Lease, LeaseEnd, LeaseTable } from "./leases.ts";
import type { Offers } from "./offers.ts";

export interface InboxDeps {
  leases: LeaseTable;
  offers: Offers;
  heartbeat: Heartbeat;
  tunnel: TunnelEnd;
  drain: (deadlineMs: number | undefined) => void;
  goAway: () => void;
}

export class Inbox implements HubHandlers {
  readonly #deps: InboxDeps;
  readonly #channel: WorkerChannel;
  /** the leases the hub was last told of here */
  #told: readonly HeldLease[] = [];
  /** another channel takes over from this one */
  #isLeft = false;

  constructor(deps: InboxDeps, channel: WorkerChannel) {
    this.#deps = deps;
    this.#channel = channel;
  }

  /** Goes on with every lease of `told` as the hub decided; what it does not know is killed. Leases taken since `told` go on. */
  resume(told: readonly HeldLease[], verdicts: readonly Verdict[]): void {
    const { leases } = this.#deps;
    const byLease = new Map(verdicts.map((verdict) => [verdict.lease, verdict]));
    for (const held of told) {
      const lease = leases.find(held);
      if (lease === undefined) continue;
      const verdict = byLease.get(held.lease);
      if (verdict === undefined || !sameLease(verdict, held) || verdict.verdict === "kill")
        leases.finish(lease, "killed");
      else if (verdict.verdict === "finished") leases.finish(lease, "recorded");
      else this.#continue(lease, held, verdict.from);
    }
    for (const lease of leases.all()) {
      if (lease.output.channel !== this.#channel) lease.output.attach(this.#channel, lease.spool.from);
    }
  }

  message(message: HubMessage): void {
    const { leases, offers, heartbeat } = this.#deps;
    switch (message.type) {
      case "offer":
        if (this.#isLeft) this.#decline(message);
        else offers.answer(message, this.#channel);
        return;
      case "lease.confirmed":
        leases.find(message)?.confirm();
        return;
      case "lease.cancel":
        this.#cancel(message);
        return;
      case "lease.done":
        this.#finish(message, message.outcome);
        return;
      case "heartbeat.ack":
        heartbeat.acknowledged(message.seq);
        for (const ref of message.cancelled) {
          leases.find(ref)?.stop.request("cancelled", heartbeat.intervals.graceMs);
        }
        return;
      case "leases.request":
        this.#told = leases.held();
        this.#channel.send({ type: "leases", leases: [...this.#told] });
        return;
      case "leases.verdicts":
        this.resume(judgedOf(this.#told, message.verdicts), message.verdicts);
        return;
      case "routes":
        this.#deps.tunnel.told(message.routes);
        return;
      case "drain":
        this.#deps.drain(message.deadlineMs ?? undefined);
        return;
      case "go-away":
        this.#isLeft = true;
        this.#deps.goAway();
        return;
      case "welcome":
      case "connector.welcome":
        throw new SallyportError("protocol_violation", `a second welcome came: ${message.type}`);
    }
  }

  stream(stream: IncomingStream<HubStream>): void {
    const { meta } = stream;
    if (meta.kind === "tunnel" || meta.kind === "tunnel.reply") {
      this.#deps.tunnel.stream(this.#channel, stream);
      return;
    }
    const lease = this.#deps.leases.find(meta);
    if (lease === undefined) {
      stream.reset(new SallyportError("lease_superseded", `lease ${meta.lease} is not held here`));
      return;
    }
    if (meta.kind === "inputs") lease.inputs.offer(stream);
    else lease.stdin.offer(stream);
  }

  /** The hello on the channel that takes over may be under way: what it does not tell of would count as lost. */
  #decline({ lease, attempt, epoch }: Extract<HubMessage, { type: "offer" }>): void {
    const why = { reason: "draining", detail: "another channel takes over from this one" } as const;
    this.#channel.send({ type: "offer.reject", lease, attempt, epoch, ...why });
  }

  #cancel(message: Extract<HubMessage, { type: "lease.cancel" }>): void {
    const { leases } = this.#deps;
    const lease = leases.find(message);
    if (lease === undefined) return;
    if (message.reason === "superseded") this.#finish(lease.ref, "superseded");
    else lease.stop.request(message.reason, message.graceMs);
  }

  /** To a hub that is left, a lease looks superseded which the next one took over from it: that one's verdict counts. */
  #finish(ref: LeaseRef, end: LeaseEnd): void {
    if (end === "superseded" && this.#isLeft) return;
    const lease = this.#deps.leases.find(ref);
    if (lease !== undefined) this.#deps.leases.finish(lease, end);
  }

  /** The start is told again, since its message may have been lost with the channel. */
  #continue(lease: Lease, held: HeldLease, from: number): void {
    lease.confirm();
    if (lease.output.channel === this.#channel) return;
    lease.output.attach(this.#channel, from);
    if (from < held.from) lease.output.giveUp(from);
    if (lease.startedAt !== undefined) {
      this.#channel.send({ type: "lease.started", ...lease.ref, at: lease.startedAt });
    }
  }
}

/** Those of `told` that `verdicts` are about: an earlier list may be answered after a later one was sent. */
function judgedOf(told: readonly HeldLease[], verdicts: readonly Verdict[]): HeldLease[] {
  const byLease = new Map(verdicts.map((verdict) => [verdict.lease, verdict]));
  return told.filter((held) => {
    const verdict = byLease.get(held.lease);
    return verdict !== undefined && sameLease(verdict, held);
  });
}

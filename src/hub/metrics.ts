/** What the hub counts, for Prometheus. Every label has few values. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { JobResult } from "../protocol/index.ts";
import { TunnelMetrics } from "./tunnel/metrics.ts";

/** seconds */
const buckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** What is read when somebody asks for the figures. */
export interface FleetFigures {
  pools: readonly { profile: string; queued: number; oldestAt: number }[];
  /** workers by state */
  workers: Readonly<Record<string, number>>;
  held: number;
  /** jobs somebody reads, or whose log comes in */
  watched: number;
}

export class HubMetrics implements Disposable {
  readonly superseded: Counter<"message">;
  readonly offers: Counter<"outcome">;
  readonly leasesExpired: Counter;
  readonly reconnects: Counter<"cause">;
  readonly outputBytes: Counter;
  readonly wakes: Counter<"reason">;
  readonly storeSeconds: Histogram<"operation">;
  readonly tunnel: TunnelMetrics;
  readonly #registry = new Registry();
  readonly #jobs: Counter<"state" | "reason">;
  readonly #dispatchSeconds: Histogram;
  readonly #answerSeconds: Histogram;
  readonly #queueDepth: Gauge<"profile">;
  readonly #queueAge: Gauge<"profile">;
  readonly #workers: Gauge<"state">;
  readonly #held: Gauge;
  readonly #watched: Gauge;
  readonly #loopLag: Gauge<"quantile">;
  readonly #lag = monitorEventLoopDelay({ resolution: 20 });

  constructor() {
    this.superseded = this.#counter(
      "superseded_total",
      "Late messages about leases that were over",
      "message",
    );
    this.offers = this.#counter("offers_total", "Offers by what became of them", "outcome");
    this.leasesExpired = this.#counter("leases_expired_total", "Leases that were not renewed in time");
    this.reconnects = this.#counter("worker_reconnects_total", "Connections that replaced another", "cause");
    this.outputBytes = this.#counter("output_bytes_total", "Bytes of job logs committed");
    this.wakes = this.#counter("dispatch_wakes_total", "Times the dispatch loop was woken", "reason");
    this.storeSeconds = this.#histogram("store_seconds", "Time of store operations", "operation");
    this.#jobs = this.#counter("jobs_ended_total", "Jobs by how they ended", "state", "reason");
    this.#dispatchSeconds = this.#histogram("dispatch_seconds", "From submission to the first offer");
    this.#answerSeconds = this.#histogram("offer_answer_seconds", "From an offer to its answer");
    this.#queueDepth = this.#gauge("queue_jobs", "Jobs that wait", "profile");
    this.#queueAge = this.#gauge("queue_oldest_seconds", "Age of the job that waits longest", "profile");
    this.#workers = this.#gauge("workers", "Connected workers", "state");
    this.#held = this.#gauge("held_jobs", "Jobs held by connected workers");
    this.#watched = this.#gauge("watched_jobs", "Jobs with readers, or whose log comes in");
    this.#loopLag = this.#gauge("event_loop_lag_seconds", "Event loop delay since the last look", "quantile");
    this.tunnel = new TunnelMetrics(this.#registry);
    this.#lag.enable();
  }

  [Symbol.dispose](): void {
    this.#lag.disable();
  }

  /** An offer was answered `ms` after it was made. */
  offerAnswered(outcome: string, ms: number): void {
    this.offers.inc({ outcome });
    this.#answerSeconds.observe(ms / 1_000);
  }

  /** A job was offered for the first time, `ms` after its submission. */
  dispatched(ms: number): void {
    this.#dispatchSeconds.observe(Math.max(0, ms) / 1_000);
  }

  jobEnded({ state, reason }: JobResult): void {
    this.#jobs.inc({ state, reason });
  }

  /** The text a scraper gets. */
  async render(fleet: FleetFigures): Promise<{ contentType: string; text: string }> {
    this.#queueDepth.reset();
    this.#queueAge.reset();
    this.#workers.reset();
    const oldest = new Map<string, number>();
    for (const { profile, queued, oldestAt } of fleet.pools) {
      this.#queueDepth.inc({ profile }, queued);
      oldest.set(profile, Math.min(oldest.get(profile) ?? oldestAt, oldestAt));
    }
    for (const [profile, at] of oldest) this.#queueAge.set({ profile }, Math.max(0, Date.now() - at) / 1_000);
    for (const [state, count] of Object.entries(fleet.workers)) this.#workers.set({ state }, count);
    this.#held.set(fleet.held);
    this.#watched.set(fleet.watched);
    this.#setLag();
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }

  #setLag(): void {
    this.#loopLag.set({ quantile: "0.5" }, this.#lag.percentile(50) / 1e9);
    this.#loopLag.set({ quantile: "0.99" }, this.#lag.percentile(99) / 1e9);
    this.#loopLag.set({ quantile: "1" }, this.#lag.max / 1e9);
    this.#lag.reset();
  }

  #counter<T extends string>(name: string, help: string, ...labelNames: T[]): Counter<T> {
    return new Counter({ name: `sallyport_${name}`, help, labelNames, registers: [this.#registry] });
  }

  #gauge<T extends string>(name: string, help: string, ...labelNames: T[]): Gauge<T> {
    return new Gauge({ name: `sallyport_${name}`, help, labelNames, registers: [this.#registry] });
  }

  #histogram<T extends string>(name: string, help: string, ...labelNames: T[]): Histogram<T> {
    return new Histogram({
      name: `sallyport_${name}`,
      help,
      labelNames,
      buckets,
      registers: [this.#registry],
    });
  }
}

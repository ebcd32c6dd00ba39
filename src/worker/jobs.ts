/** Runs accepted leases side by side, each from its place in the queue to the removal of its sandbox. */
import type { Ticket } from "./admission.ts";
import type { Calm } from "./calm.ts";
import type { WorkerTimes } from "./contract.ts";
import { reportExit, type Outcome } from "./exit-report.ts";
import type { JobRunner } from "./job-runner.ts";
import type { Lease } from "./leases.ts";
import type { Uplink } from "../uplink/index.ts";

export interface JobsDeps {
  runner: JobRunner;
  uplink: Uplink;
  calm: Calm;
}

export class Jobs {
  readonly #deps: JobsDeps;
  readonly #times: WorkerTimes;
  /** by lease id, until its sandbox is gone */
  readonly #running = new Map<string, Promise<void>>();

  constructor(deps: JobsDeps, times: WorkerTimes) {
    this.#deps = deps;
    this.#times = times;
  }

  /** Sandboxes in use or being removed */
  get size(): number {
    return this.#running.size;
  }

  /** An earlier attempt of the same lease is gone, sandbox and all, before this one's command is started. */
  start(lease: Lease, ticket: Ticket): void {
    const id = lease.ref.lease;
    const serving = this.#serve(lease, ticket, this.#running.get(id))
      .catch((error: unknown) => lease.log.error({ err: error }, "a sandbox was put away badly"))
      .finally(() => {
        if (this.#running.get(id) === serving) this.#running.delete(id);
      });
    this.#running.set(id, serving);
  }

  /** Resolves once no lease runs and no sandbox is left. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.values());
  }

  /** The result goes out first; the slot is free again only when the sandbox is gone. */
  async #serve(lease: Lease, ticket: Ticket, before: Promise<void> | undefined): Promise<void> {
    await using kept = new AsyncDisposableStack();
    const outcome = await this.#outcome(lease, ticket, { kept, before }).catch((error: unknown) => {
      lease.log.error({ err: error }, "a lease was served badly");
      return this.#deps.runner.broken(lease, error);
    });
    lease.spool.end();
    ticket.over();
    void this.#report(lease, outcome);
  }

  async #outcome(
    lease: Lease,
    ticket: Ticket,
    place: { kept: AsyncDisposableStack; before: Promise<void> | undefined },
  ): Promise<Outcome> {
    const { runner, calm } = this.#deps;
    using onWay = calm.disturb();
    try {
      if (place.before !== undefined) await place.before;
      place.kept.use(await ticket.enter(lease.stop.soft));
    } catch (error) {
      return runner.neverStarted(lease, error);
    }
    return await runner.run(lease, place.kept, onWay);
  }

  async #report(lease: Lease, outcome: Outcome): Promise<void> {
    const { ref, output, spool, confirmed } = lease;
    lease.log.debug({ reason: outcome.reason, exitCode: outcome.exitCode }, "lease over");
    const deps = { uplink: this.#deps.uplink, output, confirmed };
    await reportExit(deps, { ref, outcome, logEnd: () => spool.to }, this.#times.resendMs, lease.ended);
    await spool[Symbol.asyncDispose]();
  }
}

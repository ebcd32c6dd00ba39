import type { LeaseRef, ProfileOffer } from "../../protocol/index.ts";
import type { HeldJob } from "./held-job.ts";
import type { WorkerConnection } from "./worker-connection.ts";

/** The workers connected to this hub, one connection each. */
export class WorkerRegistry {
  readonly #byWorker = new Map<string, WorkerConnection>();

  /** The connection it replaces, if any. */
  add(connection: WorkerConnection): WorkerConnection | undefined {
    const earlier = this.#byWorker.get(connection.workerId);
    this.#byWorker.set(connection.workerId, connection);
    return earlier;
  }

  /** Forgets exactly this connection; one that replaced it stays. */
  remove(connection: WorkerConnection): void {
    if (this.#byWorker.get(connection.workerId) === connection) this.#byWorker.delete(connection.workerId);
  }

  all(): WorkerConnection[] {
    return [...this.#byWorker.values()];
  }

  get(workerId: string): WorkerConnection | undefined {
    return this.#byWorker.get(workerId);
  }

  /** Who runs the job, and under which grant. */
  holderOf(jobId: string): { connection: WorkerConnection; job: HeldJob } | undefined {
    for (const connection of this.#byWorker.values()) {
      const job = connection.held.get(jobId);
      if (job !== undefined) return { connection, job };
    }
    return undefined;
  }

  /** Every offer of a profile by a worker online. */
  offersOf(profile: string): ProfileOffer[] {
    return this.all().flatMap((connection) => connection.profiles.get(profile) ?? []);
  }

  /** Tells the worker of session `sessionId` to stop the job; it learns it with its next heartbeat when it is not here. */
  cancel(holder: { sessionId: string; workerId: string; lease: LeaseRef }, graceMs: number): void {
    const connection = this.#byWorker.get(holder.workerId);
    if (connection?.sessionId !== holder.sessionId) return;
    connection.channel.send({ type: "lease.cancel", ...refOf(holder.lease), reason: "cancelled", graceMs });
  }
}

/** The three fields that name a grant, without whatever else came with them. */
export function refOf({ lease, attempt, epoch }: LeaseRef): LeaseRef {
  return { lease, attempt, epoch };
}

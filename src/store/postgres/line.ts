/**
 * Who waits in one pool, of those a group of calls looks at. Turns are a tenant's and stand still; which of its jobs has which one
 * changes. A job leaves only by being next: a claim behind a call that takes a job out another way looks anew (`requeues`).
 */
import type { Waiting } from "./row-types.ts";

/** A virtual finish that some job of the tenant has. */
interface Turn {
  vft: number;
  tenant: string;
  holder: Waiting;
}

interface Next {
  job: Waiting;
  /** whose turn it takes: its own, or that of another job, which is given its own in exchange */
  holder: Waiting;
}

export class Line {
  /** the first one last, once they are in order */
  readonly #turns: Turn[] = [];
  readonly #turnOf = new Map<Waiting, Turn>();
  /** by tenant: the most urgent job last, once they are in order */
  readonly #urgent = new Map<string, Waiting[]>();
  #inOrder = true;

  add(waiting: Waiting): void {
    const { job, tenant } = waiting;
    const turn = { vft: job.vft, tenant, holder: waiting };
    this.#turns.push(turn);
    this.#turnOf.set(waiting, turn);
    const ofTenant = this.#urgent.get(tenant);
    if (ofTenant === undefined) this.#urgent.set(tenant, [waiting]);
    else ofTenant.push(waiting);
    this.#inOrder = false;
  }

  /** Takes out who is next: the tenant whose turn comes first takes it with its most urgent job. */
  next(): Next | undefined {
    this.#order();
    const turn = this.#turns.pop();
    const job = turn && this.#urgent.get(turn.tenant)?.pop();
    if (turn === undefined || job === undefined) return undefined;
    const { holder } = turn;
    const given = this.#turnOf.get(job);
    this.#turnOf.delete(job);
    if (holder !== job && given !== undefined) {
      given.holder = holder;
      this.#turnOf.set(holder, given);
    }
    return { job, holder };
  }

  #order(): void {
    if (this.#inOrder) return;
    this.#turns.sort((a, b) => b.vft - a.vft || compare(b.tenant, a.tenant));
    for (const ofTenant of this.#urgent.values()) {
      ofTenant.sort(({ job: a }, { job: b }) => a.priority - b.priority || b.seq - a.seq);
    }
    this.#inOrder = true;
  }
}

function compare(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

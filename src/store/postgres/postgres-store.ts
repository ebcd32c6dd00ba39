import { SallyportError } from "../../errors.ts";
import { abortable, deadlineSignal } from "../../async/index.ts";
import type { FleetStore, Hint, HubDirectory, JobStore, LeaseStore, LogStore, Store } from "../contract.ts";
import type { DatabaseClock } from "./clock.ts";
import type { Hints } from "./hints.ts";
import { putArtifact } from "./ops/artifacts.ts";
import { cancel } from "./ops/cancel.ts";
import { claim } from "./ops/claim.ts";
import { check, saveProfiles } from "./ops/fleet.ts";
import { announce, leave } from "./ops/hubs.ts";
import { accept, finish, release, started } from "./ops/leases.ts";
import { append } from "./ops/log.ts";
import { forget, sweep, tidy } from "./ops/prune.ts";
import { closeSession, expire, openSession, reconcile, renew } from "./ops/sessions.ts";
import { submit } from "./ops/submit.ts";
import type { Reader } from "./reader.ts";
import { artifacts, findArtifact, readArtifact } from "./reads/artifacts.ts";
import { pools, profiles, workers } from "./reads/fleet.ts";
import { hubs } from "./reads/hubs.ts";
import { get, inputs, list, spec } from "./reads/jobs.ts";
import { locate, logEnd, readLog } from "./reads/log.ts";
import type { Writer } from "./writer.ts";

/** how long a check waits for an answer, `ms` */
const checkMs = 3_000;

interface Deps {
  writer: Writer;
  reader: Reader;
  hints: Hints;
  clock: DatabaseClock;
}

/** A store in a database that any number of hubs share. */
export class PostgresStore implements Store {
  readonly jobs: JobStore;
  readonly leases: LeaseStore;
  readonly log: LogStore;
  readonly fleet: FleetStore;
  readonly hubs: HubDirectory;
  readonly #deps: Deps;

  constructor(deps: Deps, options: { queueCap: number }) {
    this.#deps = deps;
    this.jobs = jobStore(deps, options);
    this.leases = leaseStore(deps);
    this.log = logStore(deps);
    this.fleet = fleetStore(deps);
    this.hubs = hubDirectory(deps);
  }

  onHint(listener: (hint: Hint) => void): Disposable {
    return this.#deps.hints.listen(listener);
  }

  async check(): Promise<void> {
    using deadline = deadlineSignal(checkMs, "the store's check");
    try {
      await abortable(this.#deps.writer.call(check()), deadline.signal);
    } catch (error) {
      if (!deadline.signal.aborted) throw error;
      throw new SallyportError("store_unavailable", "store: the database does not answer", { cause: error });
    }
  }

  /** In small steps, so that work goes on meanwhile. Hubs that prune at the same time share the work. */
  async prune(before: number): Promise<number> {
    const { writer } = this.#deps;
    let pruned = 0;
    let step: number;
    do {
      step = await writer.call(forget(before));
      pruned += step;
    } while (step > 0);
    while (await writer.call(sweep()));
    await writer.call(tidy(before));
    return pruned;
  }

  /** Ends every connection where it stands, as the death of the process would. */
  async abort(): Promise<void> {
    const { writer, reader, hints } = this.#deps;
    writer.abort();
    await Promise.all([reader.abort(), hints[Symbol.asyncDispose]()]);
    await writer[Symbol.asyncDispose]();
  }

  /** What was asked for before is done first. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { writer, reader, hints } = this.#deps;
    await writer[Symbol.asyncDispose]();
    await reader[Symbol.asyncDispose]();
    await hints[Symbol.asyncDispose]();
  }
}

function jobStore({ writer, reader }: Deps, options: { queueCap: number }): JobStore {
  return {
    submit: async (job) => await writer.call(submit(job, options)),
    get: (id) => reader.read((connection) => get(connection, id)),
    list: (filter) => reader.read((connection) => list(connection, filter)),
    spec: (id) => reader.read((connection) => spec(connection, id)),
    inputs: (id, n) => reader.read((connection) => inputs(connection, id, n)),
    cancel: (id, now) => writer.call(cancel(id, now)),
    artifact: async (jobId, path) => {
      const found = await reader.read((connection) => findArtifact(connection, jobId, path));
      if (found === null) return null;
      const { artifact, size } = found;
      return {
        size,
        read: (from, to) => reader.read((connection) => readArtifact(connection, { artifact, from, to })),
      };
    },
  };
}

function leaseStore({ writer, reader }: Deps): LeaseStore {
  return {
    pools: () => reader.read(pools),
    claim: (request) => writer.call(claim(request)),
    release: (lease, now) => writer.call(release(lease, now)),
    accept: (lease, now) => writer.call(accept(lease, now)),
    started: (lease, at) => writer.call(started(lease, at)),
    finish: (lease, outcome, now) => writer.call(finish(lease, outcome, now)),
    openSession: (opening) => writer.call(openSession(opening)),
    reconcile: (sessionId, held, now) => writer.call(reconcile(sessionId, held, now)),
    renew: (sessionId, leaseUntil) => writer.call(renew(sessionId, leaseUntil, Date.now())),
    closeSession: (sessionId, now) => writer.call(closeSession(sessionId, now)),
    expire: (now) => writer.call(expire(now)),
  };
}

function logStore({ writer, reader }: Deps): LogStore {
  return {
    append: (lease, { bytes, ...part }) => {
      const whole = bytes instanceof Uint8Array ? bytes : Buffer.concat(bytes);
      return writer.call(append(lease, { ...part, bytes: whole }));
    },
    read: (jobId, attempt, from, maxBytes) =>
      reader.read((connection) => readLog(connection, { jobId, attempt, from, maxBytes })),
    locate: (jobId, attempt, stream, offset) =>
      reader.read((connection) => locate(connection, { jobId, attempt, stream, offset })),
    end: (jobId, attempt) => reader.read((connection) => logEnd(connection, jobId, attempt)),
    putArtifact: (lease, part) => writer.call(putArtifact(lease, part)),
    artifacts: (jobId) => reader.read((connection) => artifacts(connection, jobId)),
  };
}

function fleetStore({ writer, reader, clock }: Deps): FleetStore {
  return {
    saveProfiles: (workerId, offers, now) => writer.call(saveProfiles(workerId, offers, now)),
    profiles: () => reader.read(profiles),
    workers: () => reader.read((connection) => workers(connection, clock)),
  };
}

function hubDirectory({ writer, reader }: Deps): HubDirectory {
  return {
    announce: (hub, liveMs) => writer.call(announce(hub, liveMs)),
    leave: (hubId) => writer.call(leave(hubId)),
    live: () => reader.read(hubs),
  };
}

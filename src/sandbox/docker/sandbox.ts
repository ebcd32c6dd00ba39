/** One container as a sandbox: how it ended, what it uses, and its removal. */
import { deferred, withDeadline } from "../../async/index.ts";
import type { Log } from "../../log.ts";
import type { Guest, GuestLink, Sandbox, SandboxEnd, SandboxStats } from "../contract.ts";
import type { Profile } from "../profile/index.ts";
import { killedForMemory } from "./cgroup.ts";
import type { Engine } from "./engine.ts";
import { engineCall } from "./errors.ts";
import type { Fate } from "./events.ts";
import { removeContainer } from "./remove.ts";

export interface SandboxParts {
  engine: Engine;
  log: Log;
  fate: Fate;
  link: GuestLink;
  guest: Guest;
  /** Called once, when the container is gone or given up on */
  release: () => void;
}

/** How long a guest whose lifeline is cut may take to end and be removed by the engine, in `ms` */
const lifelineMs = 1_000;
/** Exit codes from here on are signals; the guest itself ends with smaller ones */
const firstSignalCode = 128;

export class DockerSandbox implements Sandbox {
  readonly id: string;
  readonly profile: Profile;
  readonly guest: Guest;
  readonly #parts: SandboxParts;
  readonly #ended = deferred<SandboxEnd>();
  #removing: Promise<void> | undefined;
  #removedByUs = false;

  constructor(parts: SandboxParts, made: { id: string; profile: Profile }) {
    this.id = made.id;
    this.profile = made.profile;
    this.guest = parts.guest;
    this.#parts = parts;
    void this.#watch();
  }

  get ended(): Promise<SandboxEnd> {
    return this.#ended.promise;
  }

  async stats(): Promise<SandboxStats> {
    const container = this.#parts.engine.docker.getContainer(this.id);
    const query = { stream: false, "one-shot": true } as const;
    return readStats(await engineCall({ operation: "stats", subject: this.id }, container.stats(query)));
  }

  async memoryRanOut(): Promise<boolean> {
    const { fate } = this.#parts;
    if (!fate.oom && (await killedForMemory(this.id))) fate.oom = true;
    return fate.oom;
  }

  /** Ends and removes it; resolves once it is gone. A container that will not go is logged and left to the reaper. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { fate, link } = this.#parts;
    if (!fate.died.settled && !link.stream.destroyed) this.#removedByUs = true;
    await this.#remove();
  }

  /** An end nobody asked for. */
  async #watch(): Promise<void> {
    const { fate, guest } = this.#parts;
    await Promise.race([fate.died.promise, guest.closed, this.#ended.promise]);
    // the engine's event is sometimes lost when the whole sandbox is killed; the kernel's count goes with it
    await this.memoryRanOut();
    await this.#remove();
  }

  #remove(): Promise<void> {
    this.#removing ??= this.#removeOnce();
    return this.#removing;
  }

  async #removeOnce(): Promise<void> {
    const { engine, fate, link, log, release } = this.#parts;
    const gone = fate.gone.promise;
    // a guest without its lifeline ends at once and the engine removes it, sooner than it would carry out a kill
    link.stream.destroy();
    await withDeadline(gone, lifelineMs, "the end of the guest").catch(() => undefined);
    try {
      if (!fate.gone.settled) await removeContainer(engine, { container: this.id, gone });
    } catch (error) {
      log.error({ sandbox: this.id, err: error }, "sandbox not removed");
    }
    release();
    this.#ended.resolve(this.#end());
  }

  #end(): SandboxEnd {
    const { exitCode, oom } = this.#parts.fate;
    return { by: this.#endedBy(), exitCode, oom };
  }

  #endedBy(): SandboxEnd["by"] {
    const { exitCode, oom } = this.#parts.fate;
    if (this.#removedByUs) return "removed";
    return exitCode !== null && (exitCode < firstSignalCode || oom) ? "exited" : "lost";
  }
}

/** The part of `GET /containers/{id}/stats` that is used; memory counts differ between cgroup versions */
interface RawStats {
  memory_stats?: { usage?: number; stats?: { inactive_file?: number; total_inactive_file?: number } };
  cpu_stats?: { cpu_usage?: { total_usage?: number } };
  pids_stats?: { current?: number };
}

function readStats(raw: RawStats): SandboxStats {
  const { usage = 0, stats = {} } = raw.memory_stats ?? {};
  // page cache that can be dropped at once is not what the sandbox costs
  const reclaimable = stats.total_inactive_file ?? stats.inactive_file ?? 0;
  return {
    memoryBytes: Math.max(0, usage - reclaimable),
    cpuMs: (raw.cpu_stats?.cpu_usage?.total_usage ?? 0) / 1e6,
    pids: raw.pids_stats?.current ?? 0,
  };
}

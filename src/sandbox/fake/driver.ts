/** The driver without an engine, for tests and for measuring everything but the sandbox. */
import { sleep } from "../../async/index.ts";
import type { SallyportError } from "../../errors.ts";
import type { Driver, ProbeReport, Sandbox, SandboxInfo, SandboxSpec } from "../contract.ts";
import type { Profile } from "../profile/index.ts";
import { FakeSandbox } from "./sandbox.ts";

/** Where fake sandboxes are: drivers that share one see each other's, as two lives of a worker do on one engine. */
export class FakeEngine {
  readonly sandboxes = new Map<string, FakeSandbox>();
  #count = 0;

  nextId(): string {
    this.#count += 1;
    return `fake-${this.#count}`;
  }
}

export interface FakeFaults {
  /** What `prepare` of this profile throws */
  prepare?: (profile: Profile) => SallyportError | undefined;
  /** What `create` throws */
  create?: (spec: SandboxSpec) => SallyportError | undefined;
  /** How long a create takes, in `ms` */
  createMs?: number;
}

export interface FakeDriverOptions {
  worker?: string;
  boot?: string;
  engine?: FakeEngine;
  /** Read at every call, so a test may change it under way */
  faults?: FakeFaults;
}

export interface FakeDriver extends Driver {
  readonly engine: FakeEngine;
  /** Takes a sandbox away as a failing engine does: execs end with `sandbox_lost`. */
  lose(id: string): void;
}

export function createFakeDriver(options: FakeDriverOptions = {}): FakeDriver {
  return new InMemoryDriver(options);
}

class InMemoryDriver implements FakeDriver {
  readonly name = "fake";
  readonly engine: FakeEngine;
  readonly #worker: string;
  readonly #boot: string;
  readonly #faults: FakeFaults;
  readonly #live = new Map<string, FakeSandbox>();

  constructor(options: FakeDriverOptions) {
    this.engine = options.engine ?? new FakeEngine();
    this.#worker = options.worker ?? "fake-worker";
    this.#boot = options.boot ?? "fake-boot";
    this.#faults = options.faults ?? {};
  }

  async probe(signal?: AbortSignal): Promise<ProbeReport> {
    signal?.throwIfAborted();
    return {
      engine: { name: this.name, version: "0", runtimes: ["runc"], facts: {} },
      checks: [],
      warnings: ["the fake driver isolates nothing"],
    };
  }

  async prepare(profile: Profile, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const fault = this.#faults.prepare?.(profile);
    if (fault !== undefined) throw fault;
  }

  async create(spec: SandboxSpec, signal?: AbortSignal): Promise<Sandbox> {
    signal?.throwIfAborted();
    const { createMs = 0 } = this.#faults;
    if (createMs > 0) await sleep(createMs, signal);
    const fault = this.#faults.create?.(spec);
    if (fault !== undefined) throw fault;
    return this.#make(spec);
  }

  async list(): Promise<SandboxInfo[]> {
    return [...this.engine.sandboxes.values()]
      .map(({ info }) => info)
      .filter(({ worker }) => worker === this.#worker);
  }

  async reap(graceMs: number): Promise<string[]> {
    const bound = Date.now() - graceMs;
    const orphans = (await this.list()).filter(
      ({ id, createdAt }) => !this.#live.has(id) && createdAt <= bound,
    );
    for (const { id } of orphans) this.engine.sandboxes.get(id)?.end("lost");
    return orphans.map(({ id }) => id);
  }

  lose(id: string): void {
    this.engine.sandboxes.get(id)?.end("lost");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const sandbox of this.#live.values()) sandbox.end("removed");
  }

  #make(spec: SandboxSpec): FakeSandbox {
    const info: SandboxInfo = {
      id: this.engine.nextId(),
      worker: this.#worker,
      boot: this.#boot,
      lease: spec.lease,
      profile: spec.profile.name,
      createdAt: Date.now(),
    };
    const gone = (): void => {
      this.#live.delete(info.id);
      this.engine.sandboxes.delete(info.id);
    };
    const sandbox = new FakeSandbox(info, spec.profile, gone);
    this.#live.set(info.id, sandbox);
    this.engine.sandboxes.set(info.id, sandbox);
    return sandbox;
  }
}

/** The driver for Docker-compatible engines: puts the parts together and owns every live sandbox. */
import { dirname, join } from "node:path";
import type { Log } from "../../log.ts";
import { isError } from "../../errors.ts";
import type { Driver, ProbeReport, Sandbox, SandboxInfo, SandboxSpec } from "../contract.ts";
import type { Profile } from "../profile/index.ts";
import { createSandbox } from "./create.ts";
import { Engine } from "./engine.ts";
import { EngineEvents } from "./events.ts";
import { createBody } from "./host-config.ts";
import { Images } from "./images.ts";
import type { Owner } from "./labels.ts";
import { probeEngine } from "./probe.ts";
import { probeProfile, scratchImage } from "./probe-profile.ts";
import { listSandboxes, orphans, removeAll } from "./reaper.ts";
import { Runtimes } from "./runtimes.ts";
import type { DockerSandbox } from "./sandbox.ts";

export interface DockerDriverOptions {
  /** `unix:///path` or `tcp://host:port`; the default socket when left out */
  dockerHost?: string;
  /** Stable id of the worker */
  worker: string;
  /** Id of this life of the worker */
  boot: string;
  /** The guest program on this host, a static executable */
  guestPath: string;
  /** The probe program on this host, which only `probe` needs; beside the guest when left out */
  probePath?: string;
}

export function createDockerDriver(deps: { log: Log }, options: DockerDriverOptions): Driver {
  return new DockerDriver(deps, options);
}

class DockerDriver implements Driver {
  readonly name = "docker";
  readonly #log: Log;
  readonly #options: DockerDriverOptions;
  readonly #owner: Owner;
  readonly #engine: Engine;
  readonly #events: EngineEvents;
  readonly #images: Images;
  readonly #runtimes: Runtimes;
  readonly #live = new Map<string, DockerSandbox>();

  constructor({ log }: { log: Log }, options: DockerDriverOptions) {
    this.#log = log;
    this.#options = options;
    this.#owner = { worker: options.worker, boot: options.boot };
    this.#engine = new Engine(options.dockerHost);
    this.#events = new EngineEvents({ engine: this.#engine, log }, this.#owner);
    this.#images = new Images({ engine: this.#engine }, { guestPath: options.guestPath });
    this.#runtimes = new Runtimes({ engine: this.#engine, trial: (runtime) => this.#tryRuntime(runtime) });
  }

  async probe(signal?: AbortSignal): Promise<ProbeReport> {
    const { guestPath, probePath = join(dirname(guestPath), "probe") } = this.#options;
    const wanted = { image: scratchImage, profile: "probe", extra: { probe: probePath } };
    const image = await this.#images.prepare(wanted, signal);
    return await probeEngine({
      engine: this.#engine,
      create: (spec) => this.#create(spec, image, signal),
    });
  }

  async prepare(profile: Profile, signal?: AbortSignal): Promise<void> {
    await this.#runtimes.ensure(profile.runtime);
    await this.#images.prepare({ image: profile.image, profile: profile.name }, signal);
  }

  async create(spec: SandboxSpec, signal?: AbortSignal): Promise<Sandbox> {
    signal?.throwIfAborted();
    const { image } = spec.profile;
    const known = this.#images.known(image);
    if (known !== undefined) {
      try {
        return await this.#create(spec, known, signal);
      } catch (error) {
        if (!isError(error, "image_unavailable")) throw error;
        // somebody pruned the engine's images
        this.#images.forget(image);
      }
    }
    await this.prepare(spec.profile, signal);
    return await this.#create(spec, this.#images.known(image) ?? image, signal);
  }

  async list(): Promise<SandboxInfo[]> {
    return await listSandboxes(this.#engine, this.#owner.worker);
  }

  async reap(graceMs: number): Promise<string[]> {
    const found = await this.list();
    const live = new Set(this.#live.keys());
    return await removeAll(
      { engine: this.#engine, log: this.#log },
      orphans(found, { live, now: Date.now(), graceMs }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#live.values()].map((sandbox) => sandbox[Symbol.asyncDispose]()));
    await this.#events[Symbol.asyncDispose]();
    this.#engine[Symbol.dispose]();
  }

  async #create(spec: SandboxSpec, image: string, signal?: AbortSignal): Promise<DockerSandbox> {
    const { cpus } = await this.#engine.facts();
    const body = createBody(spec, { image, owner: this.#owner, createdAt: Date.now(), cpus });
    const sandbox = await createSandbox(
      { engine: this.#engine, events: this.#events, log: this.#log },
      { spec, body, signal },
    );
    this.#live.set(sandbox.id, sandbox);
    void sandbox.ended.then(() => this.#live.delete(sandbox.id));
    return sandbox;
  }

  async #tryRuntime(runtime: string): Promise<void> {
    const image = await this.#images.prepare({ image: scratchImage, profile: "probe" });
    const spec = { profile: probeProfile(runtime), lease: "probe", hosts: [] };
    await using _sandbox = await this.#create(spec, image);
  }
}

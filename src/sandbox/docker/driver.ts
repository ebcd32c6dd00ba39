/** The driver for Docker-compatible engines: puts the parts together and owns every live sandbox. */
import { dirname, join } from "node:path";
import type { Log } from "../../log.ts";
import { isError, SallyportError } from "../../errors.ts";
import type { Driver, ProbeReport, Sandbox, SandboxInfo, SandboxSpec } from "../contract.ts";
import type { Profile } from "../profile/index.ts";
import { linkSignals, withDeadline } from "../../async/index.ts";
import { createSandbox } from "./create.ts";
import { Engine } from "./engine.ts";
import { callMs } from "./errors.ts";
import { EngineEvents } from "./events.ts";
import { Fit } from "./fit.ts";
import { createBody } from "./host-config.ts";
import { Images, type ImageRequest } from "./images.ts";
import type { Owner } from "./labels.ts";
import { probeEngine } from "./probe.ts";
import { probeProfile, scratchImage } from "./probe-profile.ts";
import { listSandboxes, orphans, removeAll } from "./reaper.ts";
import { Runtimes } from "./runtimes.ts";
import type { DockerSandbox } from "./sandbox.ts";
import { Unanswered } from "./unanswered.ts";

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

/** A driver that also tells what its measurements hold for. */
export interface DockerDriver extends Driver {
  /** What a prepared profile's sandboxes are made by and from; throws `image_unavailable` when it is not prepared. */
  conditions(profile: Profile): Promise<{ engine: string; image: string }>;
}

/** How long disposal waits for creations under way, and then for those whose answer was lost, in `ms` */
const lastMs = 5_000;

export function createDockerDriver(deps: { log: Log }, options: DockerDriverOptions): DockerDriver {
  return new EngineDriver(deps, options);
}

class EngineDriver implements DockerDriver {
  readonly name = "docker";
  readonly #log: Log;
  readonly #options: DockerDriverOptions;
  readonly #owner: Owner;
  readonly #engine: Engine;
  readonly #events: EngineEvents;
  readonly #images: Images;
  readonly #runtimes: Runtimes;
  readonly #fit: Fit;
  readonly #unanswered: Unanswered;
  readonly #live = new Map<string, DockerSandbox>();
  readonly #creating = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();

  constructor({ log }: { log: Log }, options: DockerDriverOptions) {
    this.#log = log;
    this.#options = options;
    this.#owner = { worker: options.worker, boot: options.boot };
    this.#engine = new Engine(options.dockerHost);
    this.#events = new EngineEvents({ engine: this.#engine, log }, this.#owner);
    this.#images = new Images({ engine: this.#engine }, { guestPath: options.guestPath });
    const engine = this.#engine;
    this.#runtimes = new Runtimes({ engine, trial: (runtime) => this.#try(runtime, 0) });
    this.#fit = new Fit({ engine, trial: (runtime, gpus) => this.#try(runtime, gpus) });
    this.#unanswered = new Unanswered({ engine, log }, { lateMs: callMs, lastMs });
  }

  async probe(signal?: AbortSignal): Promise<ProbeReport> {
    const { guestPath, probePath = join(dirname(guestPath), "probe") } = this.#options;
    const request = { image: scratchImage, profile: "probe", extra: { probe: probePath } };
    return await probeEngine({
      engine: this.#engine,
      create: (spec) => this.#createFrom(request, spec, signal),
      ensureRuntime: (runtime) => this.#runtimes.ensure(runtime),
    });
  }

  async prepare(profile: Profile, signal?: AbortSignal): Promise<void> {
    await this.#fit.ensureHost(profile);
    await this.#runtimes.ensure(profile.runtime);
    await this.#fit.ensureGpus(profile);
    await this.#images.prepare(imageOf(profile), signal);
  }

  async create(spec: SandboxSpec, signal?: AbortSignal): Promise<Sandbox> {
    signal?.throwIfAborted();
    const request = imageOf(spec.profile);
    if (this.#images.known(request) === undefined) await this.prepare(spec.profile, signal);
    return await this.#createFrom(request, spec, signal);
  }

  async conditions(profile: Profile): Promise<{ engine: string; image: string }> {
    const image = this.#images.known(imageOf(profile));
    if (image === undefined) {
      throw new SallyportError("image_unavailable", `profile ${profile.name} is not prepared`);
    }
    const { version } = await this.#engine.facts();
    return { engine: version, image };
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
    this.#closing.abort(new SallyportError("shutting_down", "the driver is being closed"));
    const creating = Promise.allSettled(this.#creating);
    await withDeadline(creating, lastMs, "creations under way").catch((error: unknown) =>
      this.#log.warn({ err: error }, "left creations to the reaper"),
    );
    await Promise.all([...this.#live.values()].map((sandbox) => sandbox[Symbol.asyncDispose]()));
    await this.#unanswered[Symbol.asyncDispose]();
    await this.#events[Symbol.asyncDispose]();
    this.#engine[Symbol.dispose]();
  }

  /** An image that somebody removed since it was prepared is prepared again. */
  async #createFrom(request: ImageRequest, spec: SandboxSpec, signal?: AbortSignal): Promise<Sandbox> {
    const known = this.#images.known(request);
    try {
      return await this.#create(spec, known ?? (await this.#images.prepare(request, signal)), signal);
    } catch (error) {
      if (!isError(error, "image_unavailable")) throw error;
    }
    this.#images.forget(request);
    return await this.#create(spec, await this.#images.prepare(request, signal), signal);
  }

  async #create(spec: SandboxSpec, image: string, signal?: AbortSignal): Promise<DockerSandbox> {
    const { cpus } = await this.#engine.facts();
    const body = createBody(spec, { image, owner: this.#owner, createdAt: Date.now(), cpus });
    using linked = linkSignals(signal, this.#closing.signal);
    linked.signal.throwIfAborted();
    const creating = createSandbox(
      { engine: this.#engine, events: this.#events, unanswered: this.#unanswered, log: this.#log },
      { spec, body, signal: linked.signal },
    ).then((sandbox) => this.#own(sandbox));
    this.#creating.add(creating);
    try {
      return await creating;
    } finally {
      this.#creating.delete(creating);
    }
  }

  #own(sandbox: DockerSandbox): DockerSandbox {
    this.#live.set(sandbox.id, sandbox);
    void sandbox.ended.then(() => this.#live.delete(sandbox.id));
    return sandbox;
  }

  /** Whether a sandbox starts at all with this runtime and so many GPUs. */
  async #try(runtime: Profile["runtime"], gpus: number): Promise<void> {
    const plain = probeProfile(runtime);
    const profile = { ...plain, resources: { ...plain.resources, gpus } };
    await using _sandbox = await this.#createFrom(imageOf(profile), { profile, lease: "probe", hosts: [] });
  }
}

function imageOf(profile: Profile): ImageRequest {
  return { image: profile.image, profile: profile.name };
}

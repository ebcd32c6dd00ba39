/** Which profiles this worker can serve right now: each is prepared at start, and again while that or the making of sandboxes fails. */
import { Backoff, sleep } from "../async/index.ts";
import { SallyportError, type ErrorCode } from "../errors.ts";
import type { ProfileOffer } from "../protocol/index.ts";
import type { Log } from "../log.ts";
import type { Driver, Profile } from "../sandbox/index.ts";
import { formatSize } from "../units.ts";

export interface ProfilesDeps {
  driver: Driver;
  profiles: () => ReadonlyMap<string, Profile>;
  log: Log;
}

export interface ProfilesOptions {
  /** What `settled` waits for; all when absent */
  defaults: readonly string[] | undefined;
  /** bytes that sandboxes may be promised together */
  memoryBytes: number;
  backoffBaseMs: number;
  backoffCapMs: number;
}

/** Failures that say that no sandbox can be made, whatever waits ready */
const telling: ReadonlySet<ErrorCode> = new Set([
  "engine_unavailable",
  "image_unavailable",
  "runtime_unavailable",
]);

/** Failures to make a sandbox, though all that preparing asks for is there */
const refusing: ReadonlySet<ErrorCode> = new Set(["engine_failed", "profile_unusable"]);

/** What shows that a profile can be served */
type Proof = "prepare" | "make";

const preparing = new SallyportError("profile_preparing", "the profile is still being prepared");

export class Profiles {
  readonly #deps: ProfilesDeps;
  readonly #options: ProfilesOptions;
  /** by digest; absent once the profile is usable */
  readonly #unusable = new Map<string, SallyportError>();
  readonly #known = new Set<string>();
  /** by digest: prepared, but what it wants ahead of a job cannot be had */
  readonly #refused = new Map<string, SallyportError>();
  #signal: AbortSignal | undefined;
  #onChange: () => void = () => undefined;

  constructor(deps: ProfilesDeps, options: ProfilesOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Called when what `offers` tells has changed. One listener. */
  onChange(listener: () => void): void {
    this.#onChange = listener;
  }

  get(name: string): Profile | undefined {
    return this.#deps.profiles().get(name);
  }

  /** Why it cannot be served; undefined when it can */
  unusable(profile: Profile): SallyportError | undefined {
    const { digest } = profile;
    return this.#known.has(digest) ? (this.#unusable.get(digest) ?? this.#refused.get(digest)) : preparing;
  }

  /** Those whose sandboxes can be made */
  prepared(): Profile[] {
    return [...this.#deps.profiles().values()].filter(
      ({ digest }) => this.#known.has(digest) && !this.#unusable.has(digest),
    );
  }

  /** `warm`: how many sandboxes of a profile wait */
  offers(warm: (profile: Profile) => number): ProfileOffer[] {
    return [...this.#deps.profiles().values()].map((profile) => ({
      ...profileOffer(profile, this.unusable(profile)?.toWire() ?? null),
      warm: warm(profile),
    }));
  }

  /** What making a sandbox ahead showed; undefined: that it works. */
  madeAhead(profile: Profile, fault: SallyportError | undefined): void {
    if (fault !== undefined && fault.code !== "profile_unusable") {
      if (telling.has(fault.code)) this.failed(profile, fault);
      return;
    }
    const before = this.#refused.get(profile.digest);
    if (before?.message === fault?.message) return;
    if (fault === undefined) this.#refused.delete(profile.digest);
    else this.#refused.set(profile.digest, fault);
    this.#onChange();
  }

  /** Starts preparing all of them; resolves once the first try of every default one is over. */
  async prepareAll(signal: AbortSignal): Promise<void> {
    const { defaults } = this.#options;
    this.#signal = signal;
    const first: Promise<void>[] = [];
    for (const profile of this.#deps.profiles().values()) {
      const tried = this.#keepPrepared(profile, signal);
      if (defaults === undefined || defaults.includes(profile.name)) first.push(tried);
    }
    await Promise.all(first);
  }

  /**
   * A sandbox of `profile` could not be made. Where that says that no other could be made either, nothing more is promised until
   * preparing works again: a worker that fails at once would otherwise be the least loaded one and get every job. An engine that
   * fails, as on a full disk, or refuses, finds the image all the same, so it has to make a sandbox before it is trusted again.
   */
  failed(profile: Profile, error: SallyportError): void {
    const isRefused = refusing.has(error.code);
    if (this.#signal === undefined || !(isRefused || telling.has(error.code))) return;
    const all = [...this.#deps.profiles().values()];
    const hit = error.code === "engine_unavailable" ? all : [profile];
    const usable = hit.filter(({ digest }) => this.#known.has(digest) && !this.#unusable.has(digest));
    if (usable.length === 0) return;
    for (const one of usable) {
      this.#unusable.set(one.digest, error);
      void this.#retry(one, this.#signal, isRefused ? "make" : "prepare");
    }
    this.#deps.log.warn({ profiles: usable.map(({ name }) => name), err: error }, "profiles cannot be used");
    this.#onChange();
  }

  async #keepPrepared(profile: Profile, signal: AbortSignal): Promise<void> {
    this.#known.add(profile.digest);
    this.#unusable.set(profile.digest, preparing);
    if (!(await this.#works(profile, signal, "prepare"))) void this.#retry(profile, signal, "prepare");
  }

  async #retry(profile: Profile, signal: AbortSignal, proof: Proof): Promise<void> {
    const { backoffBaseMs, backoffCapMs } = this.#options;
    const backoff = new Backoff({ baseMs: backoffBaseMs, capMs: backoffCapMs });
    try {
      do await sleep(backoff.next(), signal);
      while (!(await this.#works(profile, signal, proof)));
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #works(profile: Profile, signal: AbortSignal, proof: Proof): Promise<boolean> {
    const { driver, log } = this.#deps;
    try {
      ensureRoom(profile, this.#options.memoryBytes);
      await driver.prepare(profile, signal);
      if (proof === "make") await this.#tryOut(profile, signal);
    } catch (error) {
      if (signal.aborted) return true;
      const reason = SallyportError.from(error, "profile_unusable");
      const before = this.#unusable.get(profile.digest);
      this.#unusable.set(profile.digest, reason);
      if (before === undefined || told(before) !== told(reason)) {
        log.warn({ profile: profile.name, err: reason }, "profile cannot be used");
        this.#onChange();
      }
      return false;
    }
    this.#unusable.delete(profile.digest);
    this.#onChange();
    return true;
  }

  async #tryOut(profile: Profile, signal: AbortSignal): Promise<void> {
    await using _sandbox = await this.#deps.driver.create({ profile, lease: "trial", hosts: [] }, signal);
  }
}

/** One that asks for more than all jobs together may be promised would wait for ever, and its jobs with it. */
function ensureRoom({ name, resources: { memory } }: Profile, promised: number): void {
  if (memory <= promised) return;
  const [asked, available] = [formatSize(memory), formatSize(promised)];
  throw new SallyportError(
    "profile_unusable",
    `profile ${name}: resources.memory asks for ${asked}, this worker promises ${available} to all sandboxes together`,
    {
      details: {
        profile: name,
        field: "resources.memory",
        asked,
        available,
        fix: `start the worker with a larger --memory, or set resources.memory to ${available} or less`,
      },
    },
  );
}

/** What makes it another reason: not the name of a sandbox or of a folder, which differs from one try to the next. */
function told({ code, message, details }: SallyportError): string {
  const { reason } = details;
  if (code === "engine_failed") return code;
  return `${code} ${typeof reason === "string" ? reason : message}`.replaceAll(/[0-9a-f]{64}/g, "");
}

function profileOffer(profile: Profile, unusable: ProfileOffer["unusable"]): Omit<ProfileOffer, "warm"> {
  const { wallClock, output, artifacts } = profile.limits;
  return {
    name: profile.name,
    digest: profile.digest,
    shape: profile.shape,
    image: profile.image,
    runtime: profile.runtime,
    lifecycle: profile.lifecycle,
    languages: Object.keys(profile.languages),
    resources: { ...profile.resources },
    limits: { wallClock, output, artifacts },
    mcp: profile.network.mcp.map(({ host, tools }) =>
      tools === undefined ? { host } : { host, tools: [...tools] },
    ),
    unusable,
  };
}

/**
 * Whether the engine's host has what a profile asks for. The engine's facts tell of processors and memory; whether it
 * can hand out GPUs only a sandbox with GPUs tells, so one is started.
 */
import { SallyportError } from "../../errors.ts";
import { formatSize } from "../../units.ts";
import type { Profile } from "../profile/index.ts";
import type { EngineFacts } from "./engine.ts";
import { saysNothing, Verdicts } from "./verdicts.ts";

export type HostFacts = Pick<EngineFacts, "cpus" | "memoryBytes">;

export interface FitDeps {
  engine: { facts(): Promise<HostFacts> };
  /** Starts one sandbox with so many GPUs; rejects with what went wrong. */
  trial: (runtime: Profile["runtime"], gpus: number) => Promise<void>;
}

/** One limit of a profile that the host cannot give. */
interface Shortage {
  field: string;
  asked: string;
  available: string;
  fix: string;
}

export class Fit {
  readonly #deps: FitDeps;
  readonly #gpus = new Verdicts("profile_unusable");

  constructor(deps: FitDeps) {
    this.#deps = deps;
  }

  /** Throws `profile_unusable`, naming every key that asks for more than there is. */
  async ensureHost(profile: Profile): Promise<void> {
    const short = shortages(profile, await this.#deps.engine.facts());
    if (short.length > 0) throw unusable(profile, short);
  }

  /** Throws `profile_unusable` with the reason. The outcome of the one trial is remembered; a refusal for a while. */
  async ensureGpus(profile: Profile): Promise<void> {
    const { gpus } = profile.resources;
    if (gpus === 0) return;
    await this.#gpus.of(`${profile.runtime} ${gpus}`, () => this.#tryGpus(profile, gpus));
  }

  async #tryGpus(profile: Profile, gpus: number): Promise<void> {
    try {
      await this.#deps.trial(profile.runtime, gpus);
    } catch (error) {
      const failure = SallyportError.from(error);
      if (saysNothing(failure)) throw failure;
      const { reason } = failure.details;
      const said = typeof reason === "string" ? reason : failure.message;
      const shortage = {
        field: "resources.gpus",
        asked: String(gpus),
        available: `none that the engine could give a sandbox (${said})`,
        fix: "install the GPU vendor's container toolkit, or set resources.gpus to 0",
      };
      throw unusable(profile, [shortage], error);
    }
  }
}

function shortages({ resources }: Profile, host: HostFacts): Shortage[] {
  const short: Shortage[] = [];
  if (resources.cpus > host.cpus) {
    short.push({
      field: "resources.cpus",
      asked: String(resources.cpus),
      available: String(host.cpus),
      fix: `set resources.cpus to ${host.cpus} or less`,
    });
  }
  if (host.memoryBytes > 0 && resources.memory > host.memoryBytes) {
    short.push({
      field: "resources.memory",
      asked: formatSize(resources.memory),
      available: formatSize(host.memoryBytes),
      fix: `set resources.memory to less than ${formatSize(host.memoryBytes)}`,
    });
  }
  return short;
}

function unusable(profile: Profile, short: readonly Shortage[], cause?: unknown): SallyportError {
  const said = short.map(
    ({ field, asked, available }) => `${field} asks for ${asked}, this host has ${available}`,
  );
  const fixes = short.map(({ fix }) => fix).join("; ");
  return new SallyportError("profile_unusable", `profile ${profile.name}: ${said.join("; ")}`, {
    details: {
      profile: profile.name,
      field: short.map(({ field }) => field).join(" "),
      asked: short.map(({ asked }) => asked).join(" "),
      available: short.map(({ available }) => available).join(" "),
      fix: `${fixes}, or use a host that has it`,
    },
    cause,
  });
}

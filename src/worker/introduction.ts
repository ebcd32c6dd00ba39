/** What a worker says of itself to a hub. */
import { protocolVersions, turnOf } from "../protocol/index.ts";
import type { Greetings, TunnelEnd, Uplink } from "../uplink/index.ts";
import type { WorkerOptions } from "./contract.ts";
import type { LeaseTable } from "./leases.ts";
import type { Pool } from "./pool/pool.ts";
import type { Profiles } from "./profiles.ts";

type Hello = Greetings["worker"]["hello"];

export interface IntroductionDeps {
  uplink: Uplink;
  leases: LeaseTable;
  profiles: Profiles;
  pool: Pool;
  tunnel: TunnelEnd;
}

export class Introduction {
  readonly #deps: IntroductionDeps;
  readonly #options: WorkerOptions;
  #hellos = 0;

  constructor(deps: IntroductionDeps, options: WorkerOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  hello(): Hello {
    const { workerId, bootId, life = 0, version, labels, slots, memoryBytes, cpus } = this.#options;
    this.#hellos += 1;
    return {
      type: "hello",
      protocol: { ...protocolVersions },
      workerId,
      bootId,
      turn: turnOf(life, this.#hellos),
      version,
      labels: { ...labels },
      capacity: { slots, memory: memoryBytes, cpus },
      profiles: this.#profiles(),
      routes: this.#deps.tunnel.offered(),
      leases: this.#deps.leases.introduced(),
    };
  }

  tellProfiles(): void {
    this.#deps.uplink.send({ type: "profiles", profiles: this.#profiles() });
  }

  /** What was prepared between the hello and the welcome. */
  tellChangedProfiles(since: Hello): void {
    if (JSON.stringify(this.#profiles()) !== JSON.stringify(since.profiles)) this.tellProfiles();
  }

  tellDraining(): void {
    this.#deps.uplink.send({ type: "draining", held: this.#deps.leases.size });
  }

  #profiles(): Hello["profiles"] {
    const { profiles, pool } = this.#deps;
    return profiles.offers((profile) => pool.count(profile));
  }
}

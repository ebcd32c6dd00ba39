/** Measured costs in the state folder, each valid for the host, engine, image and profile it was measured with. */
import { createHash } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { makeFolder } from "../hold.ts";
import type { CostFigures } from "./cost-measure.ts";

const fileName = "profile-costs.json";

const spread = z.object({ n: z.number(), p50Ms: z.number(), p99Ms: z.number() });
const schema = z.object({
  costs: z.record(
    z.string(),
    z.object({
      fingerprint: z.string(),
      figures: z.object({
        measuredAt: z.string(),
        cold: spread,
        warm: spread,
        idleBytes: z.number(),
        warmBytes: z.number(),
        rate: z.object({ n: z.number(), atOnce: z.number(), perSecond: z.number() }),
      }),
    }),
  ),
});
type Content = z.output<typeof schema>;

/** Everything a measurement depends on. */
export interface CostConditions {
  cpu: string;
  cores: number;
  memoryBytes: number;
  /** Version of the engine */
  engine: string;
  /** Id of the prepared image */
  image: string;
  /** Digest of the profile */
  profile: string;
}

export function fingerprint(conditions: CostConditions): string {
  const sorted = Object.entries(conditions).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256").update(JSON.stringify(sorted)).digest("hex");
}

export class CostCache {
  readonly #path: string;

  constructor(stateDir: string) {
    this.#path = join(stateDir, fileName);
  }

  /** Undefined when it was never measured under these conditions. */
  async get(profile: string, conditions: CostConditions): Promise<CostFigures | undefined> {
    const entry = (await this.#read()).costs[profile];
    return entry?.fingerprint === fingerprint(conditions) ? entry.figures : undefined;
  }

  async set(profile: string, conditions: CostConditions, figures: CostFigures): Promise<void> {
    const { costs } = await this.#read();
    costs[profile] = { fingerprint: fingerprint(conditions), figures };
    const fresh = `${this.#path}.${process.pid}`;
    await makeFolder(dirname(this.#path));
    await writeFile(fresh, `${JSON.stringify({ costs }, null, 2)}\n`, { mode: 0o600 });
    await rename(fresh, this.#path);
  }

  /** What cannot be read is measured again. */
  async #read(): Promise<Content> {
    try {
      return schema.parse(JSON.parse(await readFile(this.#path, "utf8")));
    } catch {
      return { costs: {} };
    }
  }
}

/** Looks on at what workers make on an engine, for those who check that nothing is left behind. Makes and removes nothing. */
import type { Readable } from "node:stream";
import { Engine } from "./engine.ts";
import { engineCall } from "./errors.ts";
import { eventLines } from "./event-lines.ts";
import { labelNames } from "./labels.ts";
import { listContainers } from "./listing.ts";

/** What an engine holds of some workers. */
export interface Inventory {
  /** Ids of containers, in any state */
  sandboxes: string[];
  volumes: string[];
  networks: string[];
}

export interface SeenSandbox {
  id: string;
  /** Wall clock, `ms` since the epoch; null for one that was there before */
  madeAt: number | null;
}

export interface EngineWatch extends AsyncDisposable {
  /** Every sandbox that was there at the start or was made since */
  readonly seen: readonly SeenSandbox[];
  /** False once the engine's word was interrupted, so that sandboxes may have been missed */
  readonly complete: boolean;
  /** What is there now; throws `engine_unavailable` or `engine_failed`. */
  inventory(): Promise<Inventory>;
}

/** `dockerHost` as for the driver. Throws `engine_unavailable` when none answers. */
export async function watchEngine(workers: readonly string[], dockerHost?: string): Promise<EngineWatch> {
  const watch = new LiveWatch(new Engine(dockerHost), new Set(workers));
  try {
    await watch.start();
    return watch;
  } catch (error) {
    await watch[Symbol.asyncDispose]();
    throw error;
  }
}

interface CreateEvent {
  timeNano?: number;
  Actor?: { ID?: string; Attributes?: Record<string, string> };
}

class LiveWatch implements EngineWatch {
  readonly seen: SeenSandbox[] = [];
  complete = true;
  readonly #engine: Engine;
  readonly #workers: ReadonlySet<string>;
  readonly #stop = new AbortController();
  readonly #known = new Set<string>();
  #reading: Promise<void> | undefined;

  constructor(engine: Engine, workers: ReadonlySet<string>) {
    this.#engine = engine;
    this.#workers = workers;
  }

  async start(): Promise<void> {
    const filters = { type: ["container" as const], event: ["create"], label: [labelNames.worker] };
    const opened = this.#engine.docker.getEvents({ filters, abortSignal: this.#stop.signal });
    const events = (await engineCall(this.#call("events"), opened)) as Readable;
    const { sandboxes } = await this.inventory();
    for (const id of sandboxes) this.#see(id, null);
    this.#reading = this.#read(events);
  }

  async inventory(): Promise<Inventory> {
    const { docker } = this.#engine;
    const label = [labelNames.worker];
    const filters = { label };
    const [containers, { Volumes }, networks] = await Promise.all([
      listContainers(this.#engine, label),
      engineCall(this.#call("list"), docker.listVolumes({ filters })),
      engineCall(this.#call("list"), docker.listNetworks({ filters })),
    ]);
    const ours = ({ Labels }: { Labels?: Record<string, string> | null | undefined }): boolean =>
      this.#workers.has(Labels?.[labelNames.worker] ?? "");
    return {
      sandboxes: containers.filter(ours).map(({ Id }) => Id),
      volumes: (Volumes ?? []).filter(ours).map(({ Name }) => Name),
      networks: networks.filter(ours).map(({ Name }) => Name),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#reading;
    this.#engine[Symbol.dispose]();
  }

  #call(operation: "events" | "list"): { operation: "events" | "list"; subject: string } {
    return { operation, subject: this.#engine.address };
  }

  async #read(events: Readable): Promise<void> {
    try {
      for await (const line of eventLines(events)) this.#take(line);
    } catch {
      // however it ends, the engine's word is over
    }
    this.complete = this.#stop.signal.aborted;
  }

  #take(line: string): void {
    const { timeNano = 0, Actor: { ID = "", Attributes = {} } = {} } = JSON.parse(line) as CreateEvent;
    if (!this.#workers.has(Attributes[labelNames.worker] ?? "")) return;
    this.#see(ID, timeNano / 1e6);
  }

  #see(id: string, madeAt: number | null): void {
    if (this.#known.has(id)) return;
    this.#known.add(id);
    this.seen.push({ id, madeAt });
  }
}

/**
 * What happens to our containers, as the engine tells it: one subscription for the whole driver, so no sandbox needs
 * polling or an inspect. Containers remove themselves when they end, hence these events are the only witness of an
 * exit code or of memory that ran out.
 */
import type { Readable } from "node:stream";
import { abortable, Backoff, deferred, sleep, type Deferred } from "../../async/index.ts";
import type { Log } from "../../log.ts";
import type { Engine } from "./engine.ts";
import { engineCall, statusOf } from "./errors.ts";
import { eventLines } from "./event-lines.ts";
import { ownerFilter, type Owner } from "./labels.ts";

/** What is known of one container. */
export interface Fate {
  oom: boolean;
  exitCode: number | null;
  /** Its first process ended */
  readonly died: Deferred<void>;
  /** The engine has removed it */
  readonly gone: Deferred<void>;
}

interface EngineEvent {
  Action?: string;
  id?: string;
  Actor?: { ID?: string; Attributes?: Record<string, string> };
}

export class EngineEvents implements AsyncDisposable {
  readonly #engine: Engine;
  readonly #log: Log;
  readonly #owner: Owner;
  readonly #fates = new Map<string, Fate>();
  readonly #stop = new AbortController();
  #subscribed = deferred<void>();
  #starting: Promise<void> | undefined;
  #loop: Promise<void> | undefined;

  constructor(deps: { engine: Engine; log: Log }, owner: Owner) {
    this.#engine = deps.engine;
    this.#log = deps.log;
    this.#owner = owner;
  }

  /** Resolves while the subscription stands; the first call makes it. Rejects when the engine cannot be reached. */
  async ready(signal?: AbortSignal): Promise<void> {
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    await abortable(this.#starting, signal);
    await abortable(this.#subscribed.promise, signal);
  }

  /** From here on what happens to this container is noted; `forget` ends it. */
  track(id: string): Fate {
    const fate: Fate = { oom: false, exitCode: null, died: deferred(), gone: deferred() };
    this.#fates.set(id, fate);
    return fate;
  }

  forget(id: string): void {
    this.#fates.delete(id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }

  async #start(): Promise<void> {
    this.#loop = this.#follow(await this.#subscribe());
  }

  async #subscribe(): Promise<Readable> {
    const { docker } = this.#engine;
    const filters = {
      type: ["container" as const],
      event: ["oom", "die", "destroy"],
      label: ownerFilter(this.#owner),
    };
    const options = { filters, abortSignal: this.#stop.signal };
    const stream = docker.getEvents(options);
    return (await engineCall({ operation: "events", subject: this.#engine.address }, stream)) as Readable;
  }

  async #follow(first: Readable): Promise<void> {
    const backoff = new Backoff({ baseMs: 200, capMs: 5_000 });
    let events: Readable | undefined = first;
    while (!this.#stop.signal.aborted) {
      if (events !== undefined) {
        this.#subscribed.resolve();
        backoff.reset();
        this.#resync();
        await this.#read(events);
        if (this.#stop.signal.aborted) return;
        this.#subscribed = deferred<void>();
        this.#log.warn({ engine: this.#engine.address }, "engine events interrupted");
      }
      await sleep(backoff.next(), this.#stop.signal).catch(() => undefined);
      events = await this.#resubscribe();
    }
    events?.destroy();
  }

  async #resubscribe(): Promise<Readable | undefined> {
    try {
      return await this.#subscribe();
    } catch (error) {
      this.#subscribed.reject(error);
      this.#subscribed = deferred<void>();
      return undefined;
    }
  }

  /** Returns when the subscription ends, however it ends. */
  async #read(events: Readable): Promise<void> {
    try {
      for await (const line of eventLines(events)) this.#take(line);
    } catch {
      // a connection that broke and one that was closed need the same: a new subscription
    }
  }

  #take(line: string): void {
    let event: EngineEvent;
    try {
      event = JSON.parse(line) as EngineEvent;
    } catch {
      return;
    }
    const fate = this.#fates.get(event.Actor?.ID ?? event.id ?? "");
    if (fate === undefined) return;
    if (event.Action === "oom") fate.oom = true;
    if (event.Action === "die") died(fate, Number(event.Actor?.Attributes?.["exitCode"]));
    if (event.Action === "destroy") fate.gone.resolve();
  }

  /**
   * Looks at every tracked container: what happened during a break was not told. Nobody waits for it, as an engine may never say
   * what became of one.
   */
  #resync(): void {
    for (const [id, fate] of this.#fates) void this.#look(id, fate);
  }

  async #look(id: string, fate: Fate): Promise<void> {
    try {
      const look = { abortSignal: this.#stop.signal };
      const { State } = await this.#engine.docker.getContainer(id).inspect(look);
      if (State.OOMKilled) fate.oom = true;
      if (!State.Running && State.Status !== "created") died(fate, State.ExitCode);
    } catch (error) {
      if (statusOf(error) !== 404) return;
      fate.died.resolve();
      fate.gone.resolve();
    }
  }
}

function died(fate: Fate, exitCode: number): void {
  if (Number.isInteger(exitCode)) fate.exitCode = exitCode;
  fate.died.resolve();
}

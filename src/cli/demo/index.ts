/** The demonstration: a hub, a worker, and real jobs, each checked. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { abortable } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import type { Context, StopSignal } from "../context.ts";
import { exitCodes, signalExit } from "../exit-codes.ts";
import { startFleet, type Fleet } from "./fleet.ts";
import { limits } from "./limits.ts";
import { network } from "./network.ts";
import { outside } from "./outside.ts";
import { expect, type Step } from "./step.ts";
import { work } from "./work.ts";

/**
 * Resolves with the exit code: 0 when every step held, 128 and its number after a signal. Whatever happens, the processes it started
 * are gone when it settles.
 */
export async function demonstrate(context: Context): Promise<number> {
  const stop = new AbortController();
  let stoppedBy: StopSignal | undefined;
  using _watch = context.watchSignals((name) => {
    stoppedBy ??= name;
    stop.abort(new SallyportError("cancelled", `stopped by ${name}; what was started is being ended`));
  });
  try {
    return (await demonstrateUntil(stop.signal, context)) ? exitCodes.ok : exitCodes.failed;
  } catch (error) {
    if (stoppedBy === undefined) throw error;
    return signalExit(stoppedBy);
  }
}

/** Rejects with the signal's reason; the running step is given up then. */
async function demonstrateUntil(signal: AbortSignal, context: Context): Promise<boolean> {
  await using stack = new AsyncDisposableStack();
  const home = join(context.cwd, ".sallyport");
  await mkdir(home, { recursive: true, mode: 0o700 });
  const state = await mkdtemp(join(home, "demo-"));
  stack.defer(() => rm(state, { recursive: true, force: true }));
  const show = new Show(context, signal);
  const fleet = await show.step(
    "Start two MCP servers, a hub, and a worker and a connector that dial out to it",
    async () => {
      const started = stack.use(await startFleet(context, state, signal));
      return { value: started, seen: await describeFleet(started) };
    },
  );
  if (fleet === undefined) return false;
  signal.addEventListener("abort", () => fleet.hurry());
  const steps = [...work, ...limits, ...network(fleet), ...outside(fleet), nothingLeft(context, fleet)];
  for (const step of steps) {
    await show.step(step.title, async () => ({
      value: true,
      seen: await abortable(step.run(fleet.client), signal),
    }));
  }
  return await show.sum();
}

async function describeFleet({ client }: Fleet): Promise<string> {
  const [workers, profiles, routes] = await Promise.all([
    client.workers.list(),
    client.profiles.list(),
    client.routes.list(),
  ]);
  const usable = profiles.filter((profile) => profile.workers > 0).map((profile) => profile.name);
  const hosts = routes.map(({ host }) => host);
  return `hub ${client.url} · ${workers.length} worker · profiles ${usable.join(", ")} · routes ${hosts.join(", ")}`;
}

function nothingLeft(context: Context, fleet: Fleet): Step {
  return {
    title: "Drain the worker: nothing is left behind",
    async run(client) {
      const [worker] = await client.workers.list();
      const code = await fleet.drainWorker();
      expect(code === 0, "the worker to drain with exit code 0", code);
      const left = await context.roles.sandboxesOf(worker?.id ?? "");
      expect(left.length === 0, "no sandbox left", left);
      return "worker drained with exit code 0 · 0 sandboxes on the engine";
    },
  };
}

interface Outcome<T> {
  value: T;
  seen: string;
}

/** Prints each step as it goes and keeps count. */
class Show {
  readonly #context: Context;
  readonly #signal: AbortSignal;
  #held = 0;
  #failed = 0;

  constructor(context: Context, signal: AbortSignal) {
    this.#context = context;
    this.#signal = signal;
  }

  /** Undefined when it failed. Throws the signal's reason. */
  async step<T>(title: string, run: () => Promise<Outcome<T>>): Promise<T | undefined> {
    const { stdout } = this.#context;
    const started = performance.now();
    try {
      const { value, seen } = await run();
      this.#held += 1;
      await stdout.line(`✔ ${title} (${Math.round(performance.now() - started)} ms)\n    ${seen}`);
      return value;
    } catch (error) {
      if (this.#signal.aborted) await this.#stopped(title);
      this.#failed += 1;
      await stdout.line(`✘ ${title}\n    ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  }

  async #stopped(title: string): Promise<never> {
    const reason = SallyportError.from(this.#signal.reason);
    await this.#context.stdout.line(`– ${title}\n    ${reason.message}`);
    throw reason;
  }

  async sum(): Promise<boolean> {
    await this.#context.stdout.line(`\n${this.#held} steps held, ${this.#failed} failed`);
    return this.#failed === 0;
  }
}

/** The demonstration: a hub, a worker, and real jobs, each checked. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Context } from "../context.ts";
import { startFleet, type Fleet } from "./fleet.ts";
import { limits } from "./limits.ts";
import { network } from "./network.ts";
import { outside } from "./outside.ts";
import { expect, type Step } from "./step.ts";
import { work } from "./work.ts";

/** Resolves with whether every step held. Whatever happens, the processes it started are gone when it settles. */
export async function demonstrate(context: Context): Promise<boolean> {
  await using stack = new AsyncDisposableStack();
  const home = join(context.cwd, ".sallyport");
  await mkdir(home, { recursive: true, mode: 0o700 });
  const state = await mkdtemp(join(home, "demo-"));
  stack.defer(() => rm(state, { recursive: true, force: true }));
  // With its processes gone every step that still runs fails, and the demonstration ends.
  using _ = context.watchSignals(() => void stack.disposeAsync());
  const show = new Show(context);
  const fleet = await show.step(
    "Start two MCP servers, a hub, and a worker and a connector that dial out to it",
    async () => {
      const started = stack.use(await startFleet(context, state));
      return { value: started, seen: await describeFleet(started) };
    },
  );
  if (fleet === undefined) return false;
  const steps = [...work, ...limits, ...network(fleet), ...outside(fleet), nothingLeft(context, fleet)];
  for (const step of steps) {
    await show.step(step.title, async () => ({ value: true, seen: await step.run(fleet.client) }));
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
  #held = 0;
  #failed = 0;

  constructor(context: Context) {
    this.#context = context;
  }

  async step<T>(title: string, run: () => Promise<Outcome<T>>): Promise<T | undefined> {
    const { stdout } = this.#context;
    const started = performance.now();
    try {
      const { value, seen } = await run();
      this.#held += 1;
      await stdout.line(`✔ ${title} (${Math.round(performance.now() - started)} ms)\n    ${seen}`);
      return value;
    } catch (error) {
      this.#failed += 1;
      await stdout.line(`✘ ${title}\n    ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  }

  async sum(): Promise<boolean> {
    await this.#context.stdout.line(`\n${this.#held} steps held, ${this.#failed} failed`);
    return this.#failed === 0;
  }
}

import { resolve } from "node:path";
import type { Command } from "commander";
import { SallyportError } from "../../errors.ts";
import { formatSize } from "../../units.ts";
import { bind, examples, withJson, type Dispatch } from "../command.ts";
import type { Context, ProfileCost } from "../context.ts";
import { exitCodes } from "../exit-codes.ts";
import { table } from "../table.ts";

interface CostFlags {
  profiles?: string;
  state?: string;
  fresh?: boolean;
  json?: boolean;
}

export function registerCost(profiles: Command, dispatch: Dispatch): void {
  const cost = profiles
    .command("cost")
    .argument("[profile...]", "names; every profile by default")
    .description("what each profile costs on this host, measured by making sandboxes, without a hub")
    .option("--profiles <dir>", "folder with profiles (SALLYPORT_PROFILES); the shipped ones by default")
    .option("--state <dir>", "folder that keeps the figures (SALLYPORT_STATE); .sallyport by default")
    .option("--fresh", "measure again also what is known for this host, engine, image and profile");
  examples(withJson(cost), "sallyport profiles cost", "sallyport profiles cost python --fresh");
  bind<CostFlags>(cost, dispatch, printCosts);
}

async function printCosts(context: Context, flags: CostFlags, names: string[]): Promise<number> {
  const { devStateDir, sandboxSettings } = await import("../../config/index.ts");
  const environment = await context.environment();
  const stopped = new AbortController();
  using _watch = context.watchSignals((name) =>
    stopped.abort(new SallyportError("cancelled", `stopped by ${name}`)),
  );
  const asked = {
    settings: sandboxSettings(flags, environment, context.cwd),
    stateDir: resolve(context.cwd, flags.state ?? environment.stateDir ?? devStateDir),
    names,
    fresh: flags.fresh === true,
    progress: (text: string) => void context.stderr.line(text).catch(() => undefined),
    signal: stopped.signal,
  };
  try {
    const costs = await context.roles.profileCosts(asked);
    if (flags.json === true) await context.stdout.json({ costs });
    else await context.stdout.line(describe(costs));
    return costs.every(({ unusable }) => unusable === null) || names.length === 0
      ? exitCodes.ok
      : exitCodes.failed;
  } catch (error) {
    if (!stopped.signal.aborted) throw error;
    await context.stderr.line("stopped; every sandbox is removed");
    return exitCodes.cancelled;
  }
}

function describe(costs: readonly ProfileCost[]): string {
  const measured = costs.flatMap(({ profile, figures, cached }) =>
    figures === null ? [] : [{ profile, figures, cached }],
  );
  const rows = measured.map(({ profile, figures: { cold, warm, idleBytes, warmBytes, rate }, cached }) => [
    profile,
    `${ms(cold.p50Ms)} / ${ms(cold.p99Ms)}`,
    `${ms(warm.p50Ms)} / ${ms(warm.p99Ms)}`,
    formatSize(idleBytes),
    formatSize(warmBytes),
    `${rate.perSecond.toFixed(1)}/s`,
    String(cold.n),
    cached ? "before" : "now",
  ]);
  const headings = [
    "PROFILE",
    "COLD P50/P99",
    "WARM P50/P99",
    "IDLE",
    "IDLE WARM",
    "CREATES",
    "N",
    "MEASURED",
  ];
  const atOnce = measured[0]?.figures.rate.atOnce;
  return [
    table(headings, rows),
    ...costs.flatMap(({ profile, unusable }) =>
      unusable === null ? [] : [`${profile} cannot run here: ${unusable.message}`],
    ),
    ...(atOnce === undefined
      ? []
      : [
          "cold: asked for until `true` has ended in it, one at a time · warm: hand-over to a waiting interpreter until an " +
            `empty program has ended (\`true\` where none waits) · creates: made and removed, ${atOnce} at a time`,
        ]),
  ].join("\n");
}

function ms(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

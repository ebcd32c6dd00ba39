import { exitCodes } from "../exit-codes.ts";
import { bind, examples, withHub, withJson, type Register } from "../command.ts";
import type { Context } from "../context.ts";
import { usageError } from "../failure.ts";
import type { ProbeReport } from "../../sandbox/index.ts";
import { table } from "../table.ts";
import { explainUrl, type ExplainFlags } from "./explain.ts";

export const registerDoctor: Register = (parent, dispatch) => {
  const command = parent
    .command("doctor")
    .description(
      "what this host can enforce, proved by a probe sandbox; exit code 1 when a promise does not hold",
    )
    .option(
      "--explain <url>",
      "walk the layers of a call to this URL instead, up to the first that does not hold",
    )
    .option("--tunnel <file>", "with --explain: the tunnel file, where its upstreams can be reached")
    .option("--edge <host:port>", "with --explain: the hub's edge, as callers reach it")
    .option("--ca <file>", "with --edge: the CA of the tunnel's certificates; those of this host by default");
  examples(
    withJson(withHub(command)),
    "sallyport doctor",
    "sallyport doctor --explain https://docs.tunnel.example.com/mcp --tunnel tunnel.yaml",
    "sallyport doctor --explain https://docs.tunnel.example.com/mcp --edge hub.example.com:7443 --ca ca.crt",
    "DOCKER_HOST=unix:///run/user/1000/docker.sock sallyport doctor",
  );
  bind<ExplainFlags>(command, dispatch, async (context, flags) => {
    if (flags.explain !== undefined) return await explainUrl(context, flags.explain, flags);
    refuseWithoutUrl(flags);
    const report = await probe(context);
    if (flags.json === true) await context.stdout.json(report);
    else await context.stdout.line(describe(report));
    return report.checks.every(({ ok }) => ok) ? exitCodes.ok : exitCodes.failed;
  });
};

/** What says how to look at a URL is of no use without one. */
function refuseWithoutUrl({ tunnel, edge, ca, hub, keyFile }: ExplainFlags): void {
  const given = { "--tunnel": tunnel, "--edge": edge, "--ca": ca, "--hub": hub, "--key-file": keyFile };
  const [flag] = Object.entries(given).find(([, value]) => value !== undefined) ?? [];
  if (flag === undefined) return;
  throw usageError(
    `${flag}: goes with --explain only`,
    "name the URL of a route, as in --explain https://docs.tunnel.example.com/mcp",
  );
}

async function probe(context: Context): Promise<ProbeReport> {
  const { sandboxSettings } = await import("../../config/index.ts");
  return await context.roles.probe(sandboxSettings({}, await context.environment(), context.cwd));
}

function describe({ engine, checks, warnings }: ProbeReport): string {
  const facts: [string, string][] = [
    ["engine", `${engine.name} ${engine.version}`],
    ["runtimes", engine.runtimes.join(" ")],
    ...Object.entries(engine.facts),
  ];
  const failed = checks.filter(({ ok }) => !ok);
  const parts = [
    table(["FACT", "VALUE"], facts),
    table(
      ["HOLDS", "PROMISE", "EVIDENCE"],
      checks.map((check) => [check.ok ? "yes" : "NO", check.promise, check.evidence]),
    ),
    ...failed.map((check) => `fix for ${check.id}: ${check.fix ?? "none known"}`),
    ...warnings.map((warning) => `warning: ${warning}`),
    `${checks.length - failed.length} of ${checks.length} promises hold`,
  ];
  return parts.join("\n\n");
}

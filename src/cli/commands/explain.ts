/** `doctor --explain`: the layers of one call. */
import { resolve } from "node:path";
import { exitCodes } from "../exit-codes.ts";
import type { Context, ExplainStep, HubFlags } from "../context.ts";
import { usageError } from "../failure.ts";
import { table } from "../table.ts";

export interface ExplainFlags extends HubFlags {
  explain?: string;
  tunnel?: string;
  edge?: string;
  ca?: string;
}

export async function explainUrl(context: Context, url: string, flags: ExplainFlags): Promise<number> {
  const { tunnel, edge, ca } = flags;
  if (tunnel === undefined && edge === undefined && flags.hub === undefined) {
    const fix =
      "give --tunnel FILE where the upstream can be reached, --edge HOST:PORT where callers are, or --hub";
    throw usageError("--explain: there is no way to look", fix);
  }
  const abort = new AbortController();
  using _ = context.watchSignals(() => abort.abort(usageError("interrupted", "run it again")));
  const at = (path: string | undefined): string | undefined => path && resolve(context.cwd, path);
  const known = flags.hub === undefined ? undefined : await knownHosts(context, flags);
  const steps = await context.roles.explain({
    url,
    tunnelFile: at(tunnel),
    edge,
    caFile: at(ca),
    known,
    signal: abort.signal,
  });
  await (flags.json === true ? context.stdout.json({ url, steps }) : context.stdout.line(describe(steps)));
  return steps.every(({ ok }) => ok) ? exitCodes.ok : exitCodes.failed;
}

async function knownHosts(context: Context, flags: HubFlags): Promise<readonly string[]> {
  const routes = await (await context.client(flags)).routes.list();
  return routes.map(({ host }) => host);
}

function describe(steps: readonly ExplainStep[]): string {
  const failed = steps.find(({ ok }) => !ok);
  const rows = steps.map(({ layer, ok, detail }) => [ok ? "yes" : "NO", layer, detail]);
  const end =
    failed === undefined ? "every layer holds" : `fix for ${failed.layer}: ${failed.fix ?? "none known"}`;
  return `${table(["HOLDS", "LAYER", "DETAIL"], rows)}\n\n${end}`;
}

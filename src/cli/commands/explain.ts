/** `doctor --explain`: the layers of one call. */
import { resolve } from "node:path";
import type { Client } from "../../client/index.ts";
import { isError } from "../../errors.ts";
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
  if (ca !== undefined && edge === undefined)
    throw usageError("--ca: goes with --edge only", "name the edge with --edge HOST:PORT");
  const abort = new AbortController();
  using _ = context.watchSignals(() => abort.abort(usageError("interrupted", "run it again")));
  const at = (path: string | undefined): string | undefined => path && resolve(context.cwd, path);
  const asksHub = flags.hub !== undefined || (tunnel === undefined && edge === undefined);
  const known = asksHub ? await (await hubOf(context, flags)).routes.list() : undefined;
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

async function hubOf(context: Context, flags: HubFlags): Promise<Client> {
  try {
    return await context.client(flags);
  } catch (error) {
    if (!isError(error, "hub_unreachable")) throw error;
    const fix =
      "give --tunnel FILE where the upstream can be reached, --edge HOST:PORT where callers are, or --hub";
    throw usageError("--explain: there is no way to look", fix);
  }
}

function describe(steps: readonly ExplainStep[]): string {
  const failed = steps.find(({ ok }) => !ok);
  const rows = steps.map(({ layer, ok, detail }) => [ok ? "yes" : "NO", layer, detail]);
  const end =
    failed === undefined ? "every layer holds" : `fix for ${failed.layer}: ${failed.fix ?? "none known"}`;
  return `${table(["HOLDS", "LAYER", "DETAIL"], rows)}\n\n${end}`;
}

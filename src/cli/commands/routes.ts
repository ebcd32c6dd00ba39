import { exitCodes } from "../exit-codes.ts";
import { bind, examples, group, withHub, withJson, type Register } from "../command.ts";
import type { Context, HubFlags } from "../context.ts";
import { table } from "../table.ts";

export const registerRoutes: Register = (parent, dispatch) => {
  const routes = group(parent, "routes", "look at the MCP servers that jobs can be given");
  const list = routes.command("ls").description("every host a job may name with --mcp");
  examples(withJson(withHub(list)), "sallyport routes ls");
  bind<HubFlags>(list, dispatch, listRoutes);
};

async function listRoutes(context: Context, flags: HubFlags): Promise<number> {
  const routes = await (await context.client(flags)).routes.list();
  if (flags.json === true) await context.stdout.json({ routes });
  else
    await context.stdout.line(
      table(
        ["NAME", "HOST", "STATE", "CONNECTORS", "LAYER", "REASON", "CHECKED"],
        routes.map((route) => [
          route.name,
          route.host,
          route.state,
          String(route.connectors),
          route.layer,
          route.reason,
          route.checkedAt,
        ]),
      ),
    );
  return exitCodes.ok;
}

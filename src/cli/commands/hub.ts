import { bind, examples, repeated, type Register } from "../command.ts";
import { withCommon } from "../role-options.ts";
import type { RoleFlags } from "../../config/index.ts";

export const registerHub: Register = (parent, dispatch) => {
  const command = parent
    .command("hub")
    .description("run a hub: queue, store, API, and the side workers dial to")
    .option("--listen <host:port>", "127.0.0.1:7070 by default; port 0 picks a free one")
    .option("--edge <host:port>", "listen for callers of routes from outside; nowhere by default")
    .option(
      "--database-url-file <file>",
      "URL of the PostgreSQL that hubs share; without it jobs are kept in the state folder",
    )
    .option("--database <url>", "the same, without a password (SALLYPORT_DATABASE)")
    .addOption(repeated("--public-host <name>", "host name that clients and workers reach it by"))
    .option(
      "--advertise <url>",
      "where other hubs on the same database reach it; by default where it listens, under the host's name",
    );
  withCommon(command, { state: ".sallyport/hub", level: "info" });
  examples(
    command,
    "sallyport hub --state /var/lib/sallyport",
    "sallyport hub --listen 0.0.0.0:7070 --public-host hub.example.com",
    "sallyport hub --edge 0.0.0.0:443",
    "sallyport hub --database-url-file /run/secrets/database-url",
  );
  bind<RoleFlags>(command, dispatch, async (context, flags) => {
    const { hubSettings } = await import("../../config/index.ts");
    return await context.roles.hub(hubSettings(flags, await context.environment(), context.cwd));
  });
};

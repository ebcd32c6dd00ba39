import { bind, examples, repeated, type Register } from "../command.ts";
import { withCommon } from "../role-options.ts";
import type { ConnectorFlags } from "../../config/index.ts";

export const registerConnector: Register = (parent, dispatch) => {
  const command = parent
    .command("connector")
    .description("run a connector: dials out to hubs and offers them the routes of a tunnel file")
    .addOption(repeated("--hub <url>", "a hub, one channel each (SALLYPORT_HUB)"))
    .option(
      "--token-file <file>",
      "file with the connector's token (SALLYPORT_TOKEN_FILE), read at each dial",
    )
    .option(
      "--tunnel <file>",
      "the tunnel file: routes, certificate, upstream rules; read again when it changes",
    );
  withCommon(command, { state: ".sallyport/connector", level: "info" });
  examples(
    command,
    "sallyport connector --hub https://hub.example.com --token-file connector.token --tunnel tunnel.yaml",
    "sallyport connector --hub https://a.example.com --hub https://b.example.com --token-file connector.token --tunnel tunnel.yaml",
  );
  bind<ConnectorFlags>(command, dispatch, async (context, flags) => {
    const { connectorSettings } = await import("../../config/index.ts");
    return await context.roles.connector(connectorSettings(flags, await context.environment(), context.cwd));
  });
};

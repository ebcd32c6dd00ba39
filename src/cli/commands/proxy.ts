import type { ProxyFlags } from "../../config/index.ts";
import { bind, examples, type Register } from "../command.ts";

export const registerProxy: Register = (parent, dispatch) => {
  const command = parent
    .command("proxy")
    .description("run the tunnel's proxy alone: ends inner TLS inside WebSockets, routes to MCP servers")
    .option("--config <file>", "the tunnel file; /etc/mcp-gateway/config.yaml by default")
    .option("--tunnel-domain <domain>", "takes the place of tunnel_domain in the file")
    .option("--json", "errors as JSON");
  command.addHelpText("after", help);
  examples(
    command,
    "sallyport proxy --config tunnel.yaml",
    "sallyport proxy -config /etc/mcp-proxy/config.yaml -tunnel-domain abcd1234.tunnel.example.com",
  );
  bind<ProxyFlags>(command, dispatch, async (context, flags) => {
    const { proxySettings } = await import("../../config/index.ts");
    return await context.roles.proxy(proxySettings(flags, context.cwd));
  });
};

const help = `
Listens on listen_addr for WebSockets with TLS inside. A changed file or certificate (or SIGHUP) is taken over without dropping a call;
listen_addr, log_level and metrics_addr need a restart. The first SIGINT or SIGTERM drains for at most shutdown_timeout.
Both spellings of an option are read: -config and --config.

Exit code: 0 drained, 1 failed, 2 the command line is wrong, 3 aborted before everything was finished`;

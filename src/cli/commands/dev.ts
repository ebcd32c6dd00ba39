import { bind, examples, type Register } from "../command.ts";
import { withCommon, withSandboxes, withTunnel } from "../role-options.ts";
import type { RoleFlags } from "../../config/index.ts";

export const registerDev: Register = (parent, dispatch) => {
  const command = parent
    .command("dev")
    .description(
      "run hub, worker and connector in one process on loopback; commands in this folder and below find it",
    )
    .option("--port <n>", "0 picks a free one, which is the default")
    .option("--edge <host:port>", "listen for callers of routes from outside; nowhere by default");
  withCommon(withTunnel(withSandboxes(command)), { state: ".sallyport", level: "warn" });
  examples(
    command,
    "sallyport dev",
    "sallyport dev --port 7070 --slots 8",
    "sallyport dev --tunnel tunnel.yaml --edge 127.0.0.1:8443",
  );
  bind<RoleFlags>(command, dispatch, async (context, flags) => {
    const { devSettings } = await import("../../config/index.ts");
    return await context.roles.dev(devSettings(flags, await context.environment(), context.cwd));
  });
};

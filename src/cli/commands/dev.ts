import { bind, examples, type Register } from "../command.ts";
import { withCommon, withSandboxes } from "../role-options.ts";
import type { RoleFlags } from "../../config/index.ts";

export const registerDev: Register = (parent, dispatch) => {
  const command = parent
    .command("dev")
    .description("run hub and worker in one process on loopback; commands in this folder and below find it")
    .option("--port <n>", "0 picks a free one, which is the default");
  withCommon(withSandboxes(command), { state: ".sallyport", level: "warn" });
  examples(command, "sallyport dev", "sallyport dev --port 7070 --slots 8");
  bind<RoleFlags>(command, dispatch, async (context, flags) => {
    const { devSettings } = await import("../../config/index.ts");
    return await context.roles.dev(devSettings(flags, await context.environment(), context.cwd));
  });
};

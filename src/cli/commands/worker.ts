import { bind, examples, type Register } from "../command.ts";
import { withCommon, withSandboxes, withTunnel } from "../role-options.ts";
import type { RoleFlags } from "../../config/index.ts";

export const registerWorker: Register = (parent, dispatch) => {
  const command = parent
    .command("worker")
    .description("run a worker: dials out to a hub, takes jobs, runs each in a sandbox")
    .option("--hub <url>", "the hub (SALLYPORT_HUB)")
    .option("--token-file <file>", "file with the worker's token (SALLYPORT_TOKEN_FILE), read at each dial");
  withCommon(withTunnel(withSandboxes(command)), { state: ".sallyport/worker", level: "info" });
  examples(
    command,
    "sallyport worker --hub https://hub.example.com --token-file worker.token",
    "sallyport worker --hub http://127.0.0.1:7070 --token-file worker.token --slots 16 --memory 8GiB --label gpu=yes",
    "sallyport worker --hub https://hub.example.com --token-file worker.token --tunnel tunnel.yaml",
  );
  bind<RoleFlags>(command, dispatch, async (context, flags) => {
    const { workerSettings } = await import("../../config/index.ts");
    return await context.roles.worker(workerSettings(flags, await context.environment(), context.cwd));
  });
};

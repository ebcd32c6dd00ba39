/** Options that several roles share, and what their signals and exit codes mean. */
import type { Command } from "commander";
import { repeated } from "./command.ts";

export function withCommon(command: Command, defaults: { state: string; level: string }): Command {
  return command
    .option("--state <dir>", `state folder (SALLYPORT_STATE); ${defaults.state} by default`)
    .option("--log-level <level>", `JSON lines on stderr (SALLYPORT_LOG_LEVEL); ${defaults.level} by default`)
    .option("--drain-timeout <duration>", "at the first signal, stop what still runs after this")
    .option("--json", "errors as JSON")
    .addHelpText("after", lifeHelp);
}

export function withSandboxes(command: Command): Command {
  return command
    .option("--profiles <dir>", "folder with profiles (SALLYPORT_PROFILES); the shipped ones by default")
    .option("--slots <n>", "sandboxes at once; 4 per processor by default")
    .option("--memory <size>", "memory all sandboxes may be promised together; 75 % of the host by default")
    .option("--no-pool", "make no sandboxes ahead, whatever the profiles say")
    .addOption(repeated("--label <name=value>", "label that jobs can ask for"));
}

/** A worker's part in the tunnel. */
export function withTunnel(command: Command): Command {
  return command
    .option("--tunnel <file>", "tunnel file with routes to serve from here; read again when it changes")
    .option("--tunnel-ca <file>", "CA certificate of the tunnels whose routes other connectors serve");
}

const lifeHelp = `
Prints one JSON line on stdout once it is ready. The first SIGINT or SIGTERM drains: what runs may finish, nothing new
begins. A second one aborts.

Exit code: 0 drained, 1 failed, 2 the command line is wrong, 3 aborted before everything was finished`;

/** The command line: which command, with what, and how it ends. */
import { Command, CommanderError } from "commander";
import type { Register } from "./command.ts";
import { createContext, type CliDeps, type Context } from "./context.ts";
import { exitCodes } from "./exit-codes.ts";
import { reportFailure, usageError } from "./failure.ts";
import { Output } from "./output.ts";

/** Only the command that was named is loaded, and all of them for the list of commands. */
const commands: Record<string, () => Promise<Register>> = {
  run: async () => (await import("./commands/run.ts")).registerRun,
  jobs: async () => (await import("./commands/jobs.ts")).registerJobs,
  workers: async () => (await import("./commands/workers.ts")).registerWorkers,
  routes: async () => (await import("./commands/routes.ts")).registerRoutes,
  profiles: async () => (await import("./commands/profiles.ts")).registerProfiles,
  audit: async () => (await import("./commands/audit.ts")).registerAudit,
  keys: async () => (await import("./commands/keys.ts")).registerKeys,
  certs: async () => (await import("./commands/certs.ts")).registerCerts,
  loadtest: async () => (await import("./commands/loadtest.ts")).registerLoadtest,
  doctor: async () => (await import("./commands/doctor.ts")).registerDoctor,
  demo: async () => (await import("./commands/demo.ts")).registerDemo,
  dev: async () => (await import("./commands/dev.ts")).registerDev,
  hub: async () => (await import("./commands/hub.ts")).registerHub,
  worker: async () => (await import("./commands/worker.ts")).registerWorker,
  connector: async () => (await import("./commands/connector.ts")).registerConnector,
  proxy: async () => (await import("./commands/proxy.ts")).registerProxy,
};

/** Runs one command line (`argv` without program and script); resolves with the exit code once all is written. */
export async function runCli(argv: readonly string[], deps: CliDeps, version: string): Promise<number> {
  const [stdout, stderr] = [new Output(deps.stdout), new Output(deps.stderr)];
  const { head, tail } = splitTail(withDoubleDashes(argv));
  const json = head.includes("--json");
  let chosen: ((context: Context) => Promise<number>) | undefined;
  try {
    const program = createProgram(version);
    for (const register of await load(head[0])) register(program, { choose: (run) => (chosen = run) });
    const printed = await parse(program, head);
    await stdout.write(printed.out);
    if (chosen === undefined) return exitCodes.ok;
    return await chosen(createContext(deps, { stdout, stderr, tail }));
  } catch (error) {
    return await reportFailure(error, stderr, { json });
  }
}

/** The documented proxy's options have one dash. */
function withDoubleDashes(argv: readonly string[]): readonly string[] {
  if (argv[0] !== "proxy") return argv;
  return argv.map((word) => (/^-(?:config|tunnel-domain)(?:=|$)/.test(word) ? `-${word}` : word));
}

/** Commands whose `--` is followed by the job's own command line */
const withTail: readonly string[] = ["run", "loadtest"];

/** What stands behind `--` is the job's; no option in it is ours. */
function splitTail(argv: readonly string[]): {
  head: readonly string[];
  tail: readonly string[] | undefined;
} {
  const at = withTail.includes(argv[0] ?? "") ? argv.indexOf("--") : -1;
  return at === -1 ? { head: argv, tail: undefined } : { head: argv.slice(0, at), tail: argv.slice(at + 1) };
}

async function load(name = ""): Promise<Register[]> {
  const named = Object.hasOwn(commands, name) ? commands[name] : undefined;
  return await Promise.all((named === undefined ? Object.values(commands) : [named]).map((get) => get()));
}

function createProgram(version: string): Command {
  return new Command("sallyport")
    .description(
      "Runs agent-generated code on your own hardware, in throwaway sandboxes, over one outbound connection",
    )
    .version(version, "-V, --version", "print the version")
    .showSuggestionAfterError(true);
}

/** Throws a usage error in our own form; resolves with the help or version text where that was asked for. */
async function parse(program: Command, argv: readonly string[]): Promise<{ out: string }> {
  let out = "";
  let complaint = "";
  let asked: Command = program;
  const prepare = (command: Command): void => {
    command.exitOverride((error) => {
      asked = command;
      throw error;
    });
    command.configureOutput({
      writeOut: (text) => (out += text),
      writeErr: (text) => (complaint += text),
      outputError: (text, write) => write(text),
    });
    command.commands.forEach(prepare);
  };
  prepare(program);
  try {
    await program.parseAsync([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { out };
    throw wrongUsage(error, asked, complaint);
  }
  return { out };
}

function wrongUsage(error: CommanderError, command: Command, complaint: string): Error {
  const names: string[] = [];
  for (let at: Command | null = command; at !== null; at = at.parent) names.unshift(at.name());
  const fix = `see \`${names.join(" ")} --help\``;
  if (error.code === "commander.help") return usageError("no command is named", fix);
  if (error.code === "commander.excessArguments" && withTail.includes(command.name())) {
    return usageError(
      "the command to run must stand behind --",
      `write \`sallyport ${command.name()} -- COMMAND ARGUMENT…\``,
    );
  }
  const message = (complaint || error.message)
    .trim()
    .replace(/^error: /, "")
    .replaceAll("\n", " ");
  return usageError(message, fix);
}

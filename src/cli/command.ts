import { Command, Option } from "commander";
import type { Context } from "./context.ts";
import { usageError } from "./failure.ts";

/** A command's work; resolves with the exit code. */
export type Action<Flags> = (context: Context, flags: Flags, args: string[]) => Promise<number>;

/** Runs the chosen command once the line is parsed. */
export interface Dispatch {
  choose(run: (context: Context) => Promise<number>): void;
}

/** Registers one command under `parent`. */
export type Register = (parent: Command, dispatch: Dispatch) => void;

export function bind<Flags>(command: Command, dispatch: Dispatch, action: Action<Flags>): Command {
  return command.action(() => {
    refuseEmpty(command);
    dispatch.choose((context) => action(context, command.opts() as Flags, command.args));
  });
}

/** A variable that is not set: an empty path would be the current folder, and be filled with keys. */
function refuseEmpty(command: Command): void {
  for (const option of command.options) {
    const value: unknown = command.getOptionValue(option.attributeName());
    if (option.long === "--code" || ![value].flat().includes("")) continue;
    throw usageError(`${option.long}: is empty`, "give it a value, or leave it out");
  }
}

/** A group with nothing but commands in it. */
export function group(parent: Command, name: string, summary: string): Command {
  return parent.command(name).description(summary);
}

export function withHub(command: Command): Command {
  return command
    .option("--hub <url>", "the hub (SALLYPORT_HUB); else the `dev` that runs in this folder or above")
    .option("--key-file <file>", "file with the API key (SALLYPORT_KEY_FILE)");
}

export function withJson(command: Command): Command {
  return command.option("--json", "print JSON; errors too");
}

/** An option that may be given several times. */
export function repeated(flags: string, description: string): Option {
  return new Option(flags, description).argParser((value: string, before: string[] | undefined) => [
    ...(before ?? []),
    value,
  ]);
}

export function examples(command: Command, ...lines: readonly string[]): Command {
  return command.addHelpText("after", `\nExamples:\n${lines.map((line) => `  ${line}`).join("\n")}`);
}

/** How a command that could not do its part tells it. */
import { SallyportError } from "../errors.ts";
import { exitCodes } from "./exit-codes.ts";
import { isClosedPipe, type Output } from "./output.ts";
import { plain } from "./table.ts";

/** A command line that makes no sense. */
export function usageError(message: string, fix: string): SallyportError {
  return new SallyportError("config_invalid", message, { details: { source: "command line", fix } });
}

/** Prints the error, and its fix, on stderr; returns the exit code. */
export async function reportFailure(
  thrown: unknown,
  stderr: Output,
  options: { json: boolean; exitCode?: number },
): Promise<number> {
  // Nobody is left to tell.
  if (isClosedPipe(thrown)) return 128 + 13;
  const known = SallyportError.from(thrown);
  await printError(known, stderr, options.json).catch(() => undefined);
  return known.details["source"] === "command line"
    ? exitCodes.usage
    : (options.exitCode ?? exitCodes.failed);
}

export async function printError(error: SallyportError, stderr: Output, json: boolean): Promise<void> {
  if (json) return await stderr.json({ error: error.toWire() });
  await stderr.line(`error: ${plain(error.message)}`);
  const fix = error.details["fix"];
  if (typeof fix === "string") await stderr.line(`fix: ${plain(fix)}`);
}

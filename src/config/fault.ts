import type { z } from "zod";
import { SallyportError } from "../errors.ts";

/** What a setting was read from: a variable, a flag or a file. */
export interface Source {
  /** `environment`, `command line`, or a file's path */
  source: string;
  key: string;
  fix: string;
}

/** A setting that cannot be used, told with where it stands. */
export function configFault(reason: string, { source, key, fix }: Source): SallyportError {
  const where = source === "command line" ? key : key === "" ? source : `${source}: ${key}`;
  return new SallyportError("config_invalid", `${where}: ${reason}`, { details: { source, key, fix } });
}

/** The first thing zod found wrong in `source`. */
export function zodFault(error: z.ZodError, source: string, fix: string): SallyportError {
  const issue = error.issues[0];
  const unknown = issue?.code === "unrecognized_keys" ? issue.keys[0] : undefined;
  const key = [...(issue?.path ?? []), ...(unknown === undefined ? [] : [unknown])].join(".");
  const reason = unknown === undefined ? (issue?.message ?? "invalid") : "unknown key";
  return configFault(reason, { source, key, fix });
}

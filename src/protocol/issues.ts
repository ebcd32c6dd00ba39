import type { z } from "zod";
import { SallyportError, type ErrorCode } from "../errors.ts";

/** UTF-16 units told of the name of one field */
const longestName = 128;

/** One coded error from everything zod found: the message names the first field, `details.problems` all of them. */
export function issuesToError(error: z.ZodError, code: ErrorCode, what: string): SallyportError {
  const problems = error.issues
    .slice(0, 20)
    .map((issue) => ({ field: fieldName(issue), reason: reasonOf(issue) }));
  const first = problems[0] ?? { field: "", reason: "invalid" };
  const [field, where] = first.field === "" ? [what, what] : [first.field, `${what}: ${first.field}`];
  return new SallyportError(code, `${where}: ${first.reason}`, { details: { field, problems } });
}

function fieldName(issue: z.core.$ZodIssue): string {
  const path = issue.code === "unrecognized_keys" ? [...issue.path, issue.keys[0] ?? ""] : issue.path;
  return path
    .map((part, at) => (typeof part === "number" ? `[${part}]` : `${at === 0 ? "" : "."}${clipped(part)}`))
    .join("");
}

/** A name may be as long as what it came in. */
function clipped(name: PropertyKey): string {
  const text = String(name);
  return text.length <= longestName ? text : `${text.slice(0, longestName)}…`;
}

function reasonOf(issue: z.core.$ZodIssue): string {
  if (issue.code === "unrecognized_keys") return "unknown key";
  return issue.code === "invalid_key" ? (issue.issues[0]?.message ?? issue.message) : issue.message;
}

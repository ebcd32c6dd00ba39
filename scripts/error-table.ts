/** Prints the rows of docs/errors.md from the registry, to paste when a code is added. */
import { errorCodes, SallyportError, type ErrorCode } from "../src/errors.ts";

for (const code of Object.keys(errorCodes) as ErrorCode[]) {
  const error = new SallyportError(code, "");
  console.log(`| \`${code}\` | ${error.class} | ${error.status} | ${error.retryable ? "yes" : "no"} |`);
}

import type { RouteCredential } from "../../tunnel/index.ts";
import { configFault } from "../fault.ts";
import { readSecretFile } from "../secret-file.ts";

export function currentSecret(
  { from }: Pick<RouteCredential, "from">,
  variables: NodeJS.ProcessEnv = process.env,
): string {
  if ("file" in from) return readSecretFile(from.file, "credential");
  const secret = variables[from.env]?.trim() ?? "";
  if (/^[\x21-\x7e]{1,4096}$/.test(secret)) return secret;
  throw configFault("holds no credential", {
    source: "environment",
    key: from.env,
    fix: `set ${from.env} to the secret`,
  });
}

/** Writes `sandbox-profiles/schema.json` from the zod schema; with `--check` only says whether it is current. */
import { readFileSync, writeFileSync } from "node:fs";
import { format } from "prettier";
import { profileJsonSchema } from "../src/sandbox/profile/index.ts";

const file = new URL("../sandbox-profiles/schema.json", import.meta.url);
const text = await format(JSON.stringify(profileJsonSchema()), { parser: "json", printWidth: 110 });

if (!process.argv.includes("--check")) {
  writeFileSync(file, text);
} else if (text !== readFileSync(file, "utf8")) {
  console.error("sandbox-profiles/schema.json is not current: run `node scripts/profile-schema.ts`");
  process.exitCode = 1;
}

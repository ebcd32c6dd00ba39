/** Set-up, then a TypeScript program under Node 24: `node scripts/launch.mjs PROGRAM [ARGUMENT…]`. */
import { command, runNode } from "./setup/command.mjs";
import { setUp } from "./setup/index.mjs";

await command(async (signal) => {
  const env = await setUp({ signal });
  return runNode(["--disable-warning=ExperimentalWarning", ...process.argv.slice(2)], { signal, env });
});

export { runCli } from "./cli.ts";
export type { CliDeps, KeyRow, Keys, Roles, StandardInput, WatchSignals } from "./context.ts";

export { runCli } from "./cli.ts";
export type {
  CertificateFolder,
  Certs,
  CliDeps,
  KeyRow,
  Keys,
  Roles,
  StandardInput,
  WatchSignals,
} from "./context.ts";

export { runCli } from "./cli.ts";
export type {
  CertificateFolder,
  Certs,
  CliDeps,
  ExplainRequest,
  ExplainStep,
  KeyRow,
  Keys,
  Roles,
  StandardInput,
  StopSignal,
  WatchSignals,
} from "./context.ts";

export { devStateDir, findDev, writeDevFile, type DevFile, type DevFileHandle } from "./dev-file.ts";
export { readEnvironment, type Environment, type LogLevel } from "./environment.ts";
export { configFault, type Source } from "./fault.ts";
export { findHub, type HubAccess, type HubFlags } from "./hub-access.ts";
export { proxySettings, type ProxyFlags, type ProxySettings } from "./proxy.ts";
export { countFlag, durationFlag, pairsFlag, sizeFlag } from "./quantities.ts";
export {
  connectorSettings,
  devSettings,
  hubSettings,
  sandboxSettings,
  workerSettings,
  type Capacity,
  type ConnectorFlags,
  type ConnectorSettings,
  type DevSettings,
  type HubSettings,
  type RoleFlags,
  type SandboxSettings,
  type TunnelSettings,
  type WorkerSettings,
} from "./roles.ts";
export { readSecretFile } from "./secret-file.ts";
export { readCredential, readTunnelFile, type TunnelFileOptions } from "./tunnel-file/index.ts";

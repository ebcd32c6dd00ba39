export type {
  Caller,
  KnownRoute,
  RemoteWay,
  RouteCredential,
  RouteHealth,
  RouteSettings,
  Tunnel,
  TunnelConfig,
  UpstreamAddress,
} from "./contract.ts";
export { canonicalHost, splitHostPort, type HostPort } from "./hosts.ts";
export { createRouteTable, nameRoute, plainSettings, type Route, type RouteTable } from "./routes.ts";
export { dialUpstream, type DialOptions } from "./upstream/dial.ts";
export { createGuard, type ResolveAll, type UpstreamGuard } from "./upstream/guard.ts";
export { isRange, privateRanges } from "./upstream/ranges.ts";
export { loadUpstreamTrust, type UpstreamTrust } from "./upstream/trust.ts";
export {
  createAuthority,
  openAuthority,
  type Authority,
  type CertifiedKey,
  type ServerKey,
  type ServerRequest,
} from "./certificates/authority.ts";
export {
  checkAuthority,
  checkServerCertificate,
  fingerprintOf,
  type CheckedCertificate,
  type ServerCheck,
} from "./certificates/check.ts";
export { certificatesIn, readAuthorities } from "./certificates/pem.ts";
export {
  initCertificates,
  renewCertificates,
  type CertificateFolder,
  type CertificateState,
  type InitRequest,
  type RenewRequest,
} from "./certificates/folder.ts";
export type { CertificateReason } from "./certificates/fault.ts";
export type { TunnelDeps, TunnelLimits } from "./proxy/deps.ts";
export { TunnelFigures } from "./proxy/figures.ts";
export { forwardRemote, type RemoteDeps, type RemoteForward } from "./proxy/remote.ts";
export { openTunnel } from "./proxy/tunnel.ts";
export { watchFiles } from "./proxy/watch-files.ts";
export {
  connectorTimes,
  createConnector,
  type Connector,
  type ConnectorDeps,
  type ConnectorOptions,
} from "./connector.ts";
export { explain, explainLocal, type EdgeWay, type ExplainWays, type ToldRoute } from "./explain/explain.ts";
export type { ExplainDeps } from "./explain/local.ts";
export type { ExplainStep } from "./explain/walk.ts";

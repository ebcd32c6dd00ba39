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

/** The gateway: the worker-side end of every sandbox's network. */
export type {
  Attachment,
  CallTold,
  Gateway,
  GatewayDeps,
  GatewayLimits,
  Grant,
  LoopbackListener,
  LoopbackSocket,
  RouteSource,
  Subject,
} from "./contract.ts";
export { createGateway } from "./gateway.ts";

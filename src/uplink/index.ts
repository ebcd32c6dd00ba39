export { Connection, type ConnectionDeps, type ConnectionTimes, type SaidHello } from "./connection.ts";
export type { Greetings, HubHandlers, Party } from "./handshake.ts";
export { TunnelEnd, type TunnelOffer, type TunnelTarget } from "./tunnel-end.ts";
export { Uplink } from "./uplink.ts";

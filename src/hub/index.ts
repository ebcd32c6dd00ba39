export { createHub, type Hub, type HubDeps } from "./hub.ts";
export { intervalsWith, type HubOptions } from "./options.ts";
export type { Authenticator } from "./auth/authenticator.ts";
export type { EdgeOptions } from "./edge/edge.ts";
export { openKeyRing, type KeyRing, type KeyRingOptions } from "./auth/key-ring.ts";
export { scopes, type Identity, type NewKey, type Scope } from "./auth/keys.ts";

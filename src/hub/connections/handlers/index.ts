import type { WorkerMessage } from "../../../protocol/index.ts";
import { onAccept } from "./accept.ts";
import { onDraining } from "./draining.ts";
import { onExit } from "./exit.ts";
import type { Handler } from "./handler.ts";
import { onHeartbeat } from "./heartbeat.ts";
import { onLeases } from "./leases.ts";
import { onProfiles } from "./profiles.ts";
import { onReject } from "./reject.ts";
import { onRoutes } from "./routes.ts";
import { onStarted } from "./started.ts";

type WorkerConnectionMessage = Exclude<WorkerMessage["type"], "hello" | "connector.hello">;

/** What answers each message of a welcomed worker. */
export const handlers: { [T in WorkerConnectionMessage]: Handler<T> } = {
  "offer.accept": onAccept,
  "offer.reject": onReject,
  "lease.started": onStarted,
  "lease.exit": onExit,
  heartbeat: onHeartbeat,
  leases: onLeases,
  profiles: onProfiles,
  routes: onRoutes,
  draining: onDraining,
};

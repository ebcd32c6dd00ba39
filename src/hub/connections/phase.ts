/** The life of one connection, and which message is legal when. */
import { SallyportError } from "../../errors.ts";
import type { WorkerMessage } from "../../protocol/index.ts";

/**
 * `new`: nothing said yet · `handshaking`: `hello` is being answered · `ready`: may be offered jobs ·
 * `draining`: finishes what it holds, is offered nothing · `closed`: over.
 */
export type Phase = "new" | "handshaking" | "ready" | "draining" | "closed";

const next: Record<Phase, readonly Phase[]> = {
  new: ["handshaking", "closed"],
  handshaking: ["ready", "closed"],
  ready: ["draining", "closed"],
  draining: ["closed"],
  closed: [],
};

const everyWorking: readonly Phase[] = ["ready", "draining"];

const legal: Record<WorkerMessage["type"], readonly Phase[]> = {
  hello: ["new"],
  "connector.hello": [],
  "offer.accept": everyWorking,
  "offer.reject": everyWorking,
  "lease.started": everyWorking,
  "lease.exit": everyWorking,
  heartbeat: everyWorking,
  leases: everyWorking,
  profiles: everyWorking,
  routes: everyWorking,
  draining: everyWorking,
};

export function mayEnter(from: Phase, to: Phase): boolean {
  return next[from].includes(to);
}

/** Throws `protocol_violation` for a message that has no place in `phase`. */
export function checkLegal(type: WorkerMessage["type"], phase: Phase): void {
  if (legal[type].includes(phase)) return;
  throw new SallyportError("protocol_violation", `${type} has no place in phase ${phase}`, {
    details: { type, phase },
  });
}

/** Streams come from workers that were welcomed. Throws `protocol_violation`. */
export function checkStreamLegal(kind: string, phase: Phase): void {
  if (everyWorking.includes(phase)) return;
  throw new SallyportError("protocol_violation", `a stream of kind ${kind} has no place in phase ${phase}`, {
    details: { kind, phase },
  });
}

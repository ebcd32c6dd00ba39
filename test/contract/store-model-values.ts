/** The few values that calls of the model's test are made with, picked by number. */
import type { AttemptOutcome, LeaseRef } from "../../src/protocol/index.ts";
import { attemptOutcome, logPart } from "../helpers/store.ts";
import type { Model } from "./store-model.ts";

export const tenants = [
  { tenant: "a", weight: 1 },
  { tenant: "b", weight: 2 },
];
export const pools = [
  { pool: "python", labels: {} },
  { pool: 'python {"gpu":"x"}', labels: { gpu: "x" } },
];
export const workers = ["w0", "w1"];
export const outcomes: AttemptOutcome[] = [
  attemptOutcome(),
  attemptOutcome({ exitCode: 2 }),
  attemptOutcome({ reason: "sandbox_lost", exitCode: null }),
  attemptOutcome({
    reason: "never_started",
    exitCode: null,
    error: { code: "engine_unavailable", message: "no" },
  }),
  attemptOutcome({ reason: "cancelled", exitCode: null }),
];
export const record = logPart(["stdout", "0123456789"]);

export function pick<T>(items: readonly T[], at: number): T {
  const item = items[at % items.length];
  if (item === undefined) throw new Error("nothing to pick from");
  return item;
}

/** Mostly the newest ones, which are the most likely to be live. */
export function pickLease(model: Model, which: number): LeaseRef {
  const recent = model.leases.slice(which < 24 ? -4 : 0);
  return recent.length === 0 ? { lease: "nobody", attempt: 1, epoch: 1 } : pick(recent, which);
}

export function pickSession(model: Model, which: number): string {
  return which === 30
    ? "nobody"
    : pick([...model.sessions.keys(), ...(model.sessions.size === 0 ? ["none"] : [])], which);
}

/** What a worker says it holds: its leases of late, but for every so manieth it forgot. */
export function told(model: Model, forgets: number): LeaseRef[] {
  return model.leases.slice(-8).filter((_, at) => forgets < 2 || (at + 1) % forgets !== 0);
}

export function toHeld(lease: LeaseRef): LeaseRef & { kind: "job"; from: number; to: number } {
  return { ...lease, kind: "job", from: 0, to: 0 };
}

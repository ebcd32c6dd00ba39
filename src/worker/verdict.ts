/** How an attempt ended, from everything that is known about it. An exit code proves nothing by itself. */
import type { EndReason } from "../protocol/index.ts";
import type { ExecExit, SandboxEnd } from "../sandbox/index.ts";
import type { Action, StopReason } from "./stop.ts";

export interface Evidence {
  /** The command ran; false: nothing of it ever did */
  started: boolean;
  /** What we did, in order, with `exit_seen` where the command's end was observed */
  actions: readonly Action[];
  /** How the main process ended; null when nobody can tell */
  exit: Pick<ExecExit, "exitCode" | "signal"> | null;
  /** How the sandbox ended, where it did so before the exit was observed */
  sandbox: SandboxEnd | null;
  /** Memory ran out inside */
  oom: boolean;
}

export interface EndVerdict {
  reason: EndReason;
  exitCode: number | null;
  signal: string | null;
  oom: boolean;
}

const reasonOf: Record<StopReason, EndReason> = {
  cancelled: "cancelled",
  timeout: "timeout",
  output_limit: "output_limit",
  input_lost: "worker_lost",
  superseded: "worker_lost",
  cut_off: "worker_lost",
  shutting_down: "worker_lost",
};

export function verdict(evidence: Evidence): EndVerdict {
  const { exit } = evidence;
  const oom = evidence.oom || (evidence.sandbox?.oom ?? false);
  return {
    reason: reason(evidence, oom),
    exitCode: exit?.exitCode ?? null,
    signal: exit?.signal ?? null,
    oom,
  };
}

function reason(evidence: Evidence, oom: boolean): EndReason {
  const { started, actions, exit, sandbox } = evidence;
  const first = actions[0];
  const ours = first === undefined || first === "exit_seen" ? undefined : first;
  if (!started) return ours === "cancelled" || ours === "timeout" ? ours : "never_started";
  if (ours !== undefined) return reasonOf[ours];
  if (exit === null) return oom && sandbox?.by === "exited" ? "oom" : "sandbox_lost";
  if (oom && (exit.signal !== null || exit.exitCode !== 0)) return "oom";
  return exit.signal === null ? "exited" : "signaled";
}

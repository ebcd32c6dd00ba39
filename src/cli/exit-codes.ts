import { constants } from "node:os";
import type { JobResult } from "../client/index.ts";

export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  timeout: 124,
  notRun: 125,
  notExecutable: 126,
  notFound: 127,
  killed: 137,
  cancelled: 130,
} as const;

/** 128 and the signal's number, as a shell would say it. */
export function signalExit(name: string): number {
  const number = Object.hasOwn(constants.signals, name) ? constants.signals[name as NodeJS.Signals] : 0;
  return 128 + number;
}

/** What `run` exits with when the job ended like this. */
export function exitCodeOf(result: JobResult): number {
  switch (result.reason) {
    case "exited":
      return result.exitCode ?? exitCodes.failed;
    case "signaled":
      return signalExit(result.signal ?? "SIGKILL");
    case "timeout":
      return exitCodes.timeout;
    case "oom":
    case "output_limit":
      return exitCodes.killed;
    case "cancelled":
      return exitCodes.cancelled;
    case "never_started":
      if (result.error?.code === "command_not_found") return exitCodes.notFound;
      if (result.error?.code === "command_not_executable") return exitCodes.notExecutable;
      return exitCodes.notRun;
    case "sandbox_lost":
    case "worker_lost":
      return exitCodes.notRun;
  }
}

/** Why a job did not end by itself, for stderr; undefined when it did. */
export function describeEnd(result: JobResult): string | undefined {
  const because = result.error === null ? "" : `: ${result.error.message}`;
  switch (result.reason) {
    case "exited":
      return undefined;
    case "signaled":
      return `the program was ended by ${result.signal ?? "a signal"}`;
    case "timeout":
      return "the job ran into its timeout and was stopped";
    case "oom":
      return "the program was killed: out of memory";
    case "output_limit":
      return "the job was stopped: it printed more than its profile allows";
    case "cancelled":
      return "the job was cancelled";
    case "never_started":
      return `the command never started${because}`;
    case "sandbox_lost":
      return `the sandbox was lost${because}`;
    case "worker_lost":
      return `the worker was lost${because}`;
  }
}

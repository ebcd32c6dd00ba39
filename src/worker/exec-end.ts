/** When a command is over, and when its output is. */
import { sleep, withDeadline } from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import type { Exec, ExecExit, Sandbox, SandboxEnd } from "../sandbox/index.ts";
import type { OutputPump } from "./output-pump.ts";
import type { StopOrder } from "./stop.ts";

export interface CommandEnd {
  /** null when nobody can tell */
  exit: ExecExit | null;
  /** how the sandbox ended, when it did so before the command's end was known */
  sandbox: SandboxEnd | null;
  /** what broke the conversation with the guest */
  error: SallyportError | null;
}

/** SIGTERM to the exec's group when the lease is told to stop, the end of the whole tree when its grace is over. */
export function carryOut(stop: StopOrder, exec: Exec): void {
  void fired(stop.soft).then(() => {
    if (!stop.hard.aborted) exec.signal("SIGTERM");
  });
  void fired(stop.hard).then(() => exec.killTree());
}

/**
 * Resolves with the command's own exit; or, once the sandbox is gone or the command was killed, after at most `settleMs` without
 * one. The end of a stream is never taken for an exit.
 */
export async function commandEnd(
  exec: Exec,
  sandbox: Sandbox,
  stop: StopOrder,
  settleMs: number,
): Promise<CommandEnd> {
  const over = new AbortController();
  const gone = Promise.race([sandbox.ended, sandbox.guest.closed, fired(stop.hard)]);
  const tooLate = gone
    .then(() => sleep(settleMs, over.signal))
    .then(
      () => null,
      () => null,
    );
  const exit = await Promise.race([exec.exit.catch(() => null), tooLate]);
  over.abort(null);
  if (exit !== null) {
    stop.exitSeen();
    return { exit, sandbox: null, error: null };
  }
  const ended = await within(sandbox.ended, settleMs, null);
  const broken = await within(sandbox.guest.closed, 0, undefined);
  return { exit: null, sandbox: ended, error: broken === undefined ? null : SallyportError.from(broken) };
}

/** `sandbox_lost`, with what is known of a sandbox that ended before its command's exit was told. */
export function lostError({ error, sandbox }: CommandEnd): SallyportError {
  if (error !== null) return new SallyportError("sandbox_lost", error.message, { cause: error });
  return new SallyportError("sandbox_lost", sandbox === null ? silent : howLost(sandbox));
}

const silent = "the connection to the sandbox broke, and the engine does not say what became of it";

function howLost({ by, exitCode }: SandboxEnd): string {
  const code = exitCode === null ? "" : ` (exit code ${exitCode})`;
  if (by === "exited") return `the sandbox's first process ended before the command did${code}`;
  return `the sandbox was ended from outside, by the engine or with its host's means${code}`;
}

export interface OutputWait {
  /** how long an open stream may outlive the command before the rest of its tree is killed, `ms` */
  lingerMs: number;
  /** how long nothing may come of a killed tree, `ms` */
  settleMs: number;
}

/**
 * Resolves once everything the command printed is in the spool. A background child that holds a stream open is killed; a hub that
 * is away is waited for, unless the lease is dropped.
 */
export async function outputEnd(
  pump: OutputPump,
  exec: Exec,
  stop: StopOrder,
  wait: OutputWait,
): Promise<void> {
  if (await endsWithin(pump, wait.lingerMs)) return;
  exec.killTree();
  for (;;) {
    const before = pump.total;
    if (await endsWithin(pump, wait.settleMs, stop.dropped)) return;
    if (stop.dropped.aborted || (pump.total === before && !pump.blocked)) {
      pump.abandon();
      await pump.done;
      return;
    }
  }
}

async function endsWithin(pump: OutputPump, ms: number, signal?: AbortSignal): Promise<boolean> {
  const over = new AbortController();
  const dropped = signal === undefined ? [] : [fired(signal).then(() => false)];
  const late = sleep(ms, over.signal).then(
    () => false,
    () => false,
  );
  const ended = await Promise.race([pump.done.then(() => true), late, ...dropped]);
  over.abort(null);
  return ended;
}

async function within<T, U>(promise: Promise<T>, ms: number, otherwise: U): Promise<T | U> {
  try {
    return await withDeadline(promise, ms, "an end");
  } catch {
    return otherwise;
  }
}

function fired(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

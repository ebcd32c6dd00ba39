import { SallyportError } from "../errors.ts";
import { abortable } from "./abort.ts";
import { maxTimerMs } from "./clock.ts";

export interface DeadlineSignal extends Disposable {
  readonly signal: AbortSignal;
}

/** A signal that fires with `deadline_exceeded` after `ms`, at most `maxTimerMs`, naming `what` was waited for. Dispose it to stop the timer. */
export function deadlineSignal(ms: number, what: string): DeadlineSignal {
  const controller = new AbortController();
  const timer = setTimeout(
    () => controller.abort(new SallyportError("deadline_exceeded", `${what} took longer than ${ms} ms`)),
    Math.min(ms, maxTimerMs),
  );
  return { signal: controller.signal, [Symbol.dispose]: () => clearTimeout(timer) };
}

/** Settles with `promise`, or rejects with `deadline_exceeded` after `ms`. The work itself goes on. */
export async function withDeadline<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  using deadline = deadlineSignal(ms, what);
  return await abortable(promise, deadline.signal);
}

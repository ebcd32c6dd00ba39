/** Making sure that a container is gone, whatever state the engine is in. */
import { Backoff, sleep } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import type { Engine } from "./engine.ts";
import { statusOf } from "./errors.ts";

export interface Removal {
  /** Id or name */
  container: string;
  /** Resolves when somebody else saw it go */
  gone?: Promise<void>;
  /** How long to keep trying, in `ms` */
  deadlineMs?: number;
}

const defaultDeadlineMs = 30_000;
const callMs = 10_000;

type Verdict = "removed" | "absent" | "refused" | "again";

/** What an answer to a removal means; anything else, a dead socket included, is tried again. */
const verdicts: Record<number, Verdict> = {
  200: "removed",
  204: "removed",
  404: "absent",
  400: "refused",
};

/**
 * Kills and removes a container; resolves once it is gone. 409 means that another removal is under way (the engine's
 * own, mostly), so the next answer tells. Throws `engine_failed` when it is still there at the deadline.
 */
export async function removeContainer(engine: Engine, removal: Removal): Promise<void> {
  const seenGone = removal.gone?.then(() => "absent" as const);
  const until = performance.now() + (removal.deadlineMs ?? defaultDeadlineMs);
  const backoff = new Backoff({ baseMs: 20, capMs: 1_000 });
  let last: unknown;
  do {
    const note = (error: unknown): void => void (last = error);
    const verdict = await first(tryRemoval(engine, removal.container, note), seenGone);
    if (verdict === "removed" || verdict === "absent") return;
    if (verdict === "refused") break;
    if ((await first(sleep(5 + backoff.next()), seenGone)) === "absent") return;
  } while (performance.now() < until);
  throw new SallyportError(
    "engine_failed",
    `remove ${removal.container}: the container could not be removed`,
    {
      details: { subject: removal.container, fix: "look at the engine's log; the reaper tries again" },
      cause: last,
    },
  );
}

/** Asks once; never rejects. `absent` is no proof that a container which is being made will not come. */
export async function tryRemoval(
  engine: Engine,
  container: string,
  failed: (error: unknown) => void = () => undefined,
): Promise<Verdict> {
  const options = { force: true, v: true, abortSignal: AbortSignal.timeout(callMs) };
  try {
    await engine.docker.getContainer(container).remove(options);
    return "removed";
  } catch (error) {
    failed(error);
    return verdicts[statusOf(error) ?? 0] ?? "again";
  }
}

function first<T, S>(promise: Promise<T>, other: Promise<S> | undefined): Promise<T | S> {
  return other === undefined ? promise : Promise.race([promise, other]);
}

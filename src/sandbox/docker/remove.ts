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

/** What an answer to a removal means; anything else, a dead socket included, is tried again. */
const verdicts: Record<number, "gone" | "refused"> = {
  200: "gone",
  204: "gone",
  404: "gone",
  400: "refused",
};

/**
 * Kills and removes a container; resolves once it is gone. 409 means that another removal is under way (the engine's
 * own, mostly), so the next answer tells. Throws `engine_failed` when it is still there at the deadline.
 */
export async function removeContainer(engine: Engine, removal: Removal): Promise<void> {
  const seenGone = removal.gone?.then(() => "gone" as const);
  const until = performance.now() + (removal.deadlineMs ?? defaultDeadlineMs);
  const backoff = new Backoff({ baseMs: 20, capMs: 1_000 });
  let last: unknown;
  do {
    const tried = tryOnce(engine, removal.container).catch((error: unknown) => {
      last = error;
      return verdicts[statusOf(error) ?? 0] ?? ("again" as const);
    });
    const verdict = await first(tried, seenGone);
    if (verdict === "gone") return;
    if (verdict === "refused") break;
    if ((await first(sleep(5 + backoff.next()), seenGone)) === "gone") return;
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

async function tryOnce(engine: Engine, container: string): Promise<"gone"> {
  const options = { force: true, v: true, abortSignal: AbortSignal.timeout(callMs) };
  await engine.docker.getContainer(container).remove(options);
  return "gone";
}

function first<T, S>(promise: Promise<T>, other: Promise<S> | undefined): Promise<T | S> {
  return other === undefined ? promise : Promise.race([promise, other]);
}

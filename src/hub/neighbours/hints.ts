/** What other hubs on the same store do concerns this one: its clients watch jobs they hold, and theirs cancel jobs held here. */
import { sleep } from "../../async/index.ts";
import type { Hint } from "../../store/index.ts";
import type { HubContext } from "../connections/context.ts";

/** how often what others may have changed is looked at when nobody said so, `ms` */
const lookEveryMs = 2_000;

/** Heeds hints, and looks by itself, until the signal fires. Ends at once where no other hub can be. */
export async function neighbourLoop(context: HubContext, signal: AbortSignal): Promise<void> {
  if (context.store.onHint === undefined) return;
  using _hints = context.store.onHint((hint) => heed(context, hint));
  while (!signal.aborted) {
    await sleep(lookEveryMs, signal).catch(() => undefined);
    lookElsewhere(context);
  }
}

function heed(context: HubContext, hint: Hint): void {
  switch (hint.kind) {
    case "queued":
      return context.wake.because("job queued");
    case "cancel":
      return context.registry.cancel(hint.held, context.intervals.graceMs);
    case "jobs":
      for (const id of hint.ids) changedElsewhere(context, id);
      return;
    case "missed":
      lookElsewhere(context);
      return context.wake.because("job queued");
  }
}

function lookElsewhere(context: HubContext): void {
  for (const id of context.live.ids()) changedElsewhere(context, id);
}

/** Whoever watches a job that is not held here finds its record and its log in the store. */
function changedElsewhere(context: HubContext, id: string): void {
  if (context.registry.holderOf(id) === undefined) context.live.settle(id, null);
  else context.live.touch(id);
}

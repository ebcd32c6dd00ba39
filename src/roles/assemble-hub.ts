import { createHub, openKeyRing, type Hub, type HubOptions } from "../hub/index.ts";
import type { Log } from "../log.ts";
import { openSqliteStore } from "../store/index.ts";

export interface AssembledHub extends AsyncDisposable {
  hub: Hub;
}

/** Opens a state folder and listens. Throws `state_in_use` when another hub has the folder. */
export async function assembleHub(stateDir: string, options: HubOptions, log: Log): Promise<AssembledHub> {
  await using stack = new AsyncDisposableStack();
  const keys = await openKeyRing({ log }, { dir: stateDir });
  const store = stack.use(await openSqliteStore({ log }, { dir: stateDir }));
  const hub = stack.use(await createHub({ store, log, keys }, options));
  const owned = stack.move();
  return { hub, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

import { createHub, intervalsWith, openKeyRing, type Hub, type HubOptions } from "../hub/index.ts";
import type { Log } from "../log.ts";
import { openPostgresStore, openSqliteStore } from "../store/index.ts";

export interface AssembledHub extends AsyncDisposable {
  hub: Hub;
}

/** Where a hub keeps things: its keys in the folder, and everything else there as well where it has no database. */
export interface HubState {
  stateDir: string;
  /** URL */
  database: string | null;
}

/**
 * Opens a hub's state and listens. Throws `state_in_use` when another hub keeps its jobs in the folder; hubs on one database may share
 * one, and with it their keys.
 */
export async function assembleHub(state: HubState, options: HubOptions, log: Log): Promise<AssembledHub> {
  const { stateDir, database } = state;
  await using stack = new AsyncDisposableStack();
  const keys = await openKeyRing({ log }, { dir: stateDir });
  const { leaseMs } = intervalsWith(options.intervals);
  const store = stack.use(
    await (database === null
      ? openSqliteStore({ log }, { dir: stateDir, leaseMs })
      : openPostgresStore({ log }, { url: database })),
  );
  const hub = stack.use(await createHub({ store, log, keys }, options));
  const owned = stack.move();
  return { hub, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

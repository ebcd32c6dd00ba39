import { sleep } from "../../async/index.ts";
import type { HubChannel } from "../../channel/index.ts";
import { SallyportError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { Authenticator } from "./authenticator.ts";
import type { Identity } from "./keys.ts";

/** between two looks, `ms`: with the age a look at the keys may have, a revoked one is noticed within a second */
const everyMs = 500;

/** Closes the channels whose credential was revoked or lost a right, until the signal fires. */
export async function revocationLoop(
  { keys, log }: { keys: Authenticator; log: Log },
  channels: ReadonlyMap<HubChannel, Identity>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await sleep(everyMs, signal).catch(() => undefined);
    for (const [channel, identity] of channels) {
      if (await keys.stands(identity)) continue;
      log.warn({ key: identity.name, peer: channel.peer }, "channel closed, its key no longer stands");
      const reason = `authorization: key ${identity.name} was revoked or changed`;
      void channel.close(new SallyportError("unauthenticated", reason));
    }
  }
}

import { refOf } from "../registry.ts";
import { giveBack } from "../../dispatch/offer.ts";
import type { Handler } from "./handler.ts";

/** How long a worker without room is left alone, in `ms`, unless it says sooner that it has some */
const restMs = 200;

/** The worker cannot take an offer: the job goes back to its place in the queue, no attempt is spent. */
export const onReject: Handler<"offer.reject"> = async (context, connection, message) => {
  const lease = refOf(message);
  const pending = connection.takeOffer(lease);
  if (pending === undefined) return;
  const { reason, detail } = message;
  context.metrics.offerAnswered(reason, performance.now() - pending.sentAt);
  if (reason === "draining") connection.enter("draining");
  if (reason === "profile_unknown") connection.profiles.delete(pending.claim.spec.profile);
  if (reason === "profile_unusable") markUnusable(connection, pending.claim.spec.profile, detail);
  if (reason === "no_slot" || reason === "no_memory") connection.rest(restMs);
  connection.log.info({ jobId: lease.lease, reason, detail }, "offer rejected");
  await giveBack(context, pending);
};

function markUnusable(connection: Parameters<typeof onReject>[1], profile: string, message: string): void {
  const offer = connection.profiles.get(profile);
  if (offer === undefined) return;
  connection.profiles.set(profile, { ...offer, unusable: { code: "profile_unusable", message } });
}

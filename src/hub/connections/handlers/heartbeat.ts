import { steadyNow } from "../../../async/index.ts";
import { SallyportError } from "../../../errors.ts";
import { leasesHash } from "../../../protocol/index.ts";
import type { Handler } from "./handler.ts";

/** Renews everything the worker holds. The answer goes out once that is on disk, and brings pending cancels along. */
export const onHeartbeat: Handler<"heartbeat"> = async (context, connection, message) => {
  const { store, intervals } = context;
  const renewal = store.leases.renew(connection.sessionId, steadyNow() + intervals.leaseMs);
  connection.free.reported(message.free);
  connection.warm = message.warm;
  const renewed = await renewal;
  if (renewed === null) {
    throw new SallyportError("lease_superseded", `session ${connection.sessionId} is over: connect anew`);
  }
  connection.channel.send({ type: "heartbeat.ack", seq: message.seq, cancelled: renewed.cancelled });
  if (leasesHash(renewed.refs) !== message.leasesHash) connection.channel.send({ type: "leases.request" });
  context.wake.because("slot free");
};

import type { Handler } from "./handler.ts";

/** The worker's profiles changed. */
export const onProfiles: Handler<"profiles"> = async (context, connection, message) => {
  connection.offer(message.profiles);
  context.wake.because("worker ready");
  await context.store.fleet.saveProfiles(connection.workerId, message.profiles, Date.now());
};

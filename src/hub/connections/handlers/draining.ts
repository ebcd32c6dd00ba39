import type { Handler } from "./handler.ts";

/** The worker takes nothing new; what it holds goes on and is renewed as before. */
export const onDraining: Handler<"draining"> = (_context, connection, message) => {
  if (connection.phase === "ready") connection.log.info({ held: message.held }, "worker drains");
  connection.enter("draining");
};

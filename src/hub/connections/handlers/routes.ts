import type { Handler } from "./handler.ts";

/** The routes the worker offers changed, or their health did. */
export const onRoutes: Handler<"routes"> = (context, connection, message) => {
  context.tunnel.offer(connection.offerer, message.routes);
};

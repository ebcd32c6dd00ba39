import type { WorkerMessage } from "../../../protocol/index.ts";
import type { HubContext } from "../context.ts";
import type { WorkerConnection } from "../worker-connection.ts";

export type Message<T extends WorkerMessage["type"]> = Extract<WorkerMessage, { type: T }>;

/**
 * Answers one message of a welcomed worker. Hands its change to the store before it first waits, so that what a worker says of one
 * lease takes effect in the order it was said. A throw closes the channel, and the worker reconciles when it comes back.
 */
export type Handler<T extends WorkerMessage["type"]> = (
  context: HubContext,
  connection: WorkerConnection,
  message: Message<T>,
) => Promise<void> | void;

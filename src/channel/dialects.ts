import type { z } from "zod";
import {
  hubMessageSchema,
  hubStreamSchema,
  issuesToError,
  workerMessageSchema,
  workerStreamSchema,
  type HubMessage,
  type HubStream,
  type WorkerMessage,
  type WorkerStream,
} from "../protocol/index.ts";
import type { Channel, Dialect } from "./contract.ts";

/** How a worker reads the hub. */
export const workerDialect: Dialect<HubMessage, HubStream> = {
  message: (json) => read(hubMessageSchema, json, "message"),
  stream: (json) => read(hubStreamSchema, json, "stream.open"),
};

/** How the hub reads a worker. */
export const hubDialect: Dialect<WorkerMessage, WorkerStream> = {
  message: (json) => read(workerMessageSchema, json, "message"),
  stream: (json) => read(workerStreamSchema, json, "stream.open"),
};

/** A channel as a worker holds it. */
export type WorkerChannel = Channel<WorkerMessage, HubMessage, WorkerStream, HubStream>;
/** A channel as the hub holds it. */
export type HubChannel = Channel<HubMessage, WorkerMessage, HubStream, WorkerStream>;

function read<T>(schema: z.ZodType<T>, json: unknown, what: string): T {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const type = nameOf(json);
  throw issuesToError(parsed.error, "protocol_violation", type === undefined ? what : `${what} ${type}`);
}

/** What the far end calls its message or stream, cut short for an error text. */
function nameOf(json: unknown): string | undefined {
  if (typeof json !== "object" || json === null) return undefined;
  const name: unknown = "type" in json ? json.type : "kind" in json ? json.kind : undefined;
  return typeof name === "string" ? name.slice(0, 40) : undefined;
}

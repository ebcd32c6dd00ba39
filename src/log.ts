import { pino, type DestinationStream, type Logger, type LoggerOptions } from "pino";
import { isError } from "./errors.ts";

export type Log = Logger;

export interface LogOptions {
  level?: string;
  /** Where lines go; stderr by default, since stdout belongs to results */
  destination?: DestinationStream;
}

/** Keys that may carry a secret wherever they stand in a logged object. */
const secretKeys = ["authorization", "token", "key", "secret", "password", "cookie"];

const redactedPaths = [
  ...secretKeys.flatMap((key) => [key, `*.${key}`, `*.*.${key}`, `*.headers.${key}`]),
  "env",
  "*.env",
  "spec",
  "*.spec",
];

/** JSON lines through pino, object first; everything that can hold a secret is redacted. */
export function createLog(options: LogOptions = {}): Log {
  const settings: LoggerOptions = {
    level: options.level ?? "info",
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: serializeError },
    redact: { paths: redactedPaths, censor: "[redacted]" },
  };
  return pino(settings, options.destination ?? process.stderr);
}

/** A log that keeps nothing, for tests and embedding. */
export function silentLog(): Log {
  return pino({ level: "silent" });
}

/** A coded error says all there is in code, message and details; anything else keeps its stack. */
function serializeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  if (!isError(error)) return pino.stdSerializers.err(error);
  const cause = error.cause instanceof Error ? { cause: error.cause.message } : {};
  return { ...error.toWire(), ...(error.code === "internal" && { stack: error.stack }), ...cause };
}

/** The one place that reads environment variables. */
import { z } from "zod";
import { configFault, zodFault } from "./fault.ts";

const levels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof levels)[number];

const text = z.string().min(1, "is empty").optional();

const schema = z.strictObject({
  /** URL of the hub */
  SALLYPORT_HUB: text,
  /** file with a client's API key */
  SALLYPORT_KEY_FILE: text,
  /** file with a worker's token */
  SALLYPORT_TOKEN_FILE: text,
  /** state folder of the role that runs */
  SALLYPORT_STATE: text,
  /** folder with profiles */
  SALLYPORT_PROFILES: text,
  /** URL of the database that hubs share */
  SALLYPORT_DATABASE: text,
  SALLYPORT_LOG_LEVEL: z.enum(levels, `is none of ${levels.join(", ")}`).optional(),
  /** the engine, in Docker's own words */
  DOCKER_HOST: z.string().optional(),
});

export interface Environment {
  readonly hub?: string | undefined;
  readonly keyFile?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly stateDir?: string | undefined;
  readonly profilesDir?: string | undefined;
  readonly database?: string | undefined;
  readonly logLevel?: LogLevel | undefined;
  readonly dockerHost?: string | undefined;
}

/** What Kubernetes sets in every pod when a service is called `sallyport`; never meant for us. */
const serviceLinks = /^SALLYPORT_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT|PORT)(?:_|$)/;

/** Throws `config_invalid` naming the variable; an unknown `SALLYPORT_…` is a mistyped one. */
export function readEnvironment(variables: NodeJS.ProcessEnv = process.env): Environment {
  const ours = Object.entries(variables).filter(
    ([name]) => name === "DOCKER_HOST" || (name.startsWith("SALLYPORT_") && !serviceLinks.test(name)),
  );
  const parsed = schema.safeParse(Object.fromEntries(ours));
  if (!parsed.success) {
    throw zodFault(
      parsed.error,
      "environment",
      `unset it, or use one of ${Object.keys(schema.shape).join(", ")}`,
    );
  }
  const {
    SALLYPORT_HUB: hub,
    SALLYPORT_KEY_FILE: keyFile,
    SALLYPORT_TOKEN_FILE: tokenFile,
    SALLYPORT_STATE: stateDir,
    SALLYPORT_PROFILES: profilesDir,
    SALLYPORT_DATABASE: database,
    SALLYPORT_LOG_LEVEL: logLevel,
    DOCKER_HOST: dockerHost,
  } = parsed.data;
  return Object.freeze({
    hub,
    keyFile,
    tokenFile,
    stateDir,
    profilesDir,
    database,
    logLevel,
    dockerHost: dockerHost === "" ? undefined : dockerHost,
  });
}

/** `--log-level` as a level. */
export function parseLogLevel(value: string): LogLevel {
  const level = levels.find((known) => known === value);
  if (level !== undefined) return level;
  throw configFault(`${JSON.stringify(value)} is not a level`, {
    source: "command line",
    key: "--log-level",
    fix: `use one of ${levels.join(", ")}`,
  });
}

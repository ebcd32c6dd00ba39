/** What the engine answers, as errors of ours: one table, by operation and status or by socket error. */
import { withDeadline } from "../../async/index.ts";
import { isError, SallyportError, type ErrorCode } from "../../errors.ts";

/** How long the engine may take over one call, in `ms`: many creations at once queue up inside it */
export const callMs = 120_000;

export type Operation =
  "info" | "create" | "attach" | "start" | "inspect" | "list" | "stats" | "events" | "image" | "build";

export interface CallContext {
  operation: Operation;
  /** What the call is about: a container, an image, the engine's address */
  subject: string;
}

/** The parts of an error of the HTTP client that are read */
interface RawError {
  statusCode?: number;
  code?: string;
  name?: string;
  message?: string;
  json?: { message?: string } | null;
}

interface ErrorRow {
  code: ErrorCode;
  says: string;
  fix: string;
}

const engineUp = "start the engine, or point DOCKER_HOST at the one to use";

const bySocket: Record<string, ErrorRow> = {
  ENOENT: { code: "engine_unavailable", says: "no engine socket there", fix: engineUp },
  ECONNREFUSED: { code: "engine_unavailable", says: "nothing listens there", fix: engineUp },
  EACCES: {
    code: "engine_unavailable",
    says: "this user may not open the engine socket",
    fix: "run as a user in the socket's group (often docker)",
  },
  ENOTFOUND: { code: "engine_unavailable", says: "the engine's host name does not resolve", fix: engineUp },
  ECONNRESET: { code: "engine_unavailable", says: "the engine closed the connection", fix: engineUp },
  EPIPE: { code: "engine_unavailable", says: "the engine closed the connection", fix: engineUp },
  ETIMEDOUT: { code: "engine_unavailable", says: "the engine does not answer", fix: engineUp },
  EHOSTUNREACH: { code: "engine_unavailable", says: "the engine's host cannot be reached", fix: engineUp },
  ABORT_ERR: {
    code: "engine_unavailable",
    says: "no answer within the time allowed",
    fix: "look at the engine's log and load",
  },
};

const gone: ErrorRow = {
  code: "sandbox_lost",
  says: "the container is gone",
  fix: "submit the job again",
};

/** Rows for one operation win over rows for any. */
const byStatus: Record<string, ErrorRow> = {
  "create 400": {
    code: "profile_unusable",
    says: "the engine refuses the profile's settings",
    fix: "change what the reason names: in the profile, or at the engine",
  },
  "create 404": {
    code: "image_unavailable",
    says: "the prepared image is gone",
    fix: "prepare the profile again",
  },
  "attach 404": gone,
  "start 404": gone,
  "stats 404": gone,
  "inspect 404": gone,
  "image 404": {
    code: "image_unavailable",
    says: "the engine has no such image",
    fix: "build or pull the image the profile names",
  },
  "build 404": {
    code: "image_unavailable",
    says: "the image to build on is gone",
    fix: "build or pull the image the profile names",
  },
};

const refused: ErrorRow = {
  code: "engine_failed",
  says: "the engine failed",
  fix: "look at the engine's log",
};

/** HTTP status of a refused engine call, if that is what `error` is. */
export function statusOf(error: unknown): number | undefined {
  return (error as RawError | null)?.statusCode;
}

export function engineError(context: CallContext, error: unknown): SallyportError {
  if (error instanceof SallyportError) return error;
  const raw = error as RawError;
  const status = raw.statusCode;
  const row =
    status === undefined
      ? (bySocket[raw.code ?? ""] ?? (raw.name === "TimeoutError" ? bySocket["ABORT_ERR"] : undefined))
      : byStatus[`${context.operation} ${status}`];
  const { code, says, fix } = row ?? refused;
  const reason = raw.json?.message ?? raw.message ?? String(error);
  return new SallyportError(code, `${context.operation} ${context.subject}: ${says} (${reason.trim()})`, {
    details: { operation: context.operation, subject: context.subject, reason: reason.trim(), fix },
    cause: error,
  });
}

/** Waits for one engine call, at most `callMs`, and speaks of its failure in our words. */
export async function engineCall<T>(context: CallContext, call: Promise<T>): Promise<T> {
  try {
    return await withDeadline(call, callMs, "the call");
  } catch (error) {
    const silent = isError(error, "deadline_exceeded");
    throw engineError(context, silent ? { code: "ETIMEDOUT", message: error.message } : error);
  }
}

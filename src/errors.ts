/**
 * The one error class that crosses rooms and the wire, and the registry of its codes.
 *
 * An error means that Sallyport could not do its part. What a program did (a non-zero exit, a signal, running out of
 * memory, printing too much) is a result, never an error.
 */

export const errorClasses = [
  "invalid",
  "denied",
  "not_found",
  "conflict",
  "exhausted",
  "unavailable",
  "cancelled",
  "internal",
] as const;
export type ErrorClass = (typeof errorClasses)[number];

interface ErrorRule {
  class: ErrorClass;
  /** The same request may succeed later without being changed */
  retryable: boolean;
  /** HTTP status where it differs from that of the class */
  status?: number;
}

const rule = (errorClass: ErrorClass, retryable = false, status?: number): ErrorRule =>
  status === undefined ? { class: errorClass, retryable } : { class: errorClass, retryable, status };

/** Every code, with its class and whether a retry of the unchanged request can help. */
export const errorCodes = {
  // the request
  request_invalid: rule("invalid"),
  body_too_large: rule("invalid", false, 413),
  media_type_unsupported: rule("invalid", false, 415),
  range_invalid: rule("invalid", false, 416),
  limit_exceeds_profile: rule("invalid"),
  language_unknown: rule("invalid"),
  config_invalid: rule("invalid"),
  profile_invalid: rule("invalid"),
  unauthenticated: rule("denied", false, 401),
  scope_missing: rule("denied"),
  origin_denied: rule("denied"),
  host_not_allowed: rule("denied"),
  profile_unknown: rule("not_found"),
  job_unknown: rule("not_found"),
  worker_unknown: rule("not_found"),
  artifact_unknown: rule("not_found"),
  route_unknown: rule("not_found"),
  path_unknown: rule("not_found"),
  method_unsupported: rule("invalid", false, 405),
  idempotency_mismatch: rule("conflict"),
  stdin_closed: rule("conflict"),
  stdin_busy: rule("conflict", true),
  state_in_use: rule("conflict"),
  queue_full: rule("exhausted", true),

  // the hub and its store
  hub_unreachable: rule("unavailable", true),
  hub_draining: rule("unavailable", true),
  profile_unusable: rule("unavailable", true),
  profile_preparing: rule("unavailable", true),
  store_unavailable: rule("unavailable", true),
  store_full: rule("unavailable", true, 507),
  store_corrupt: rule("internal"),

  // the channel
  protocol_violation: rule("invalid"),
  frame_too_large: rule("invalid"),
  protocol_unsupported: rule("invalid", false, 426),
  channel_closed: rule("unavailable", true),
  stream_reset: rule("unavailable", true),
  lease_superseded: rule("conflict"),

  // the sandbox
  engine_unavailable: rule("unavailable", true),
  engine_failed: rule("unavailable", true),
  image_unavailable: rule("unavailable"),
  runtime_unavailable: rule("unavailable"),
  sandbox_lost: rule("unavailable", true),
  guest_violation: rule("internal"),
  command_not_found: rule("invalid"),
  command_not_executable: rule("invalid"),
  file_unknown: rule("not_found"),
  file_refused: rule("invalid"),
  capacity_exhausted: rule("exhausted", true),

  // the network of a sandbox, and the tunnel
  host_mismatch: rule("invalid", false, 421),
  tool_not_allowed: rule("denied"),
  tools_changed: rule("denied"),
  mcp_invalid: rule("invalid"),
  mcp_session_unknown: rule("not_found"),
  call_limit_exceeded: rule("exhausted"),
  call_rate_exceeded: rule("exhausted", true),
  network_limit_exceeded: rule("exhausted"),
  route_unavailable: rule("unavailable", true, 502),
  upstream_address_denied: rule("denied", false, 502),
  upstream_unreachable: rule("unavailable", true, 502),
  upstream_failed: rule("unavailable", false, 502),
  certificate_invalid: rule("invalid", false, 502),
  outcome_unknown: rule("unavailable", false, 502),
  audit_broken: rule("conflict"),

  // ends
  cancelled: rule("cancelled", false, 499),
  deadline_exceeded: rule("cancelled", true, 504),
  shutting_down: rule("unavailable", true),
  internal: rule("internal"),
} as const satisfies Record<string, ErrorRule>;

export type ErrorCode = keyof typeof errorCodes;

const statusByClass: Record<ErrorClass, number> = {
  invalid: 400,
  denied: 403,
  not_found: 404,
  conflict: 409,
  exhausted: 429,
  unavailable: 503,
  cancelled: 499,
  internal: 500,
};

/** What an error looks like on the wire and in HTTP replies; stack and cause never leave the process. */
export interface WireError {
  code: ErrorCode;
  message: string;
  /** Facts a caller can act on: `field`, `fix`, `known`, … */
  details?: Record<string, unknown>;
}

export interface ErrorOptions {
  details?: Record<string, unknown>;
  cause?: unknown;
}

export class SallyportError extends Error {
  override readonly name = "SallyportError";
  readonly code: ErrorCode;
  readonly details: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }

  get class(): ErrorClass {
    return errorCodes[this.code].class;
  }

  get retryable(): boolean {
    return errorCodes[this.code].retryable;
  }

  /** HTTP status this error is answered with */
  get status(): number {
    const known: ErrorRule = errorCodes[this.code];
    return known.status ?? statusByClass[known.class];
  }

  toWire(): WireError {
    const wire: WireError = { code: this.code, message: this.message };
    return Object.keys(this.details).length === 0 ? wire : { ...wire, details: this.details };
  }

  /** Reads an error another process sent; a code this version does not know becomes `internal`. */
  static fromWire(wire: {
    code: string;
    message: string;
    details?: Record<string, unknown> | undefined;
  }): SallyportError {
    const code = Object.hasOwn(errorCodes, wire.code) ? (wire.code as ErrorCode) : "internal";
    const details = code === wire.code ? wire.details : { ...wire.details, unknownCode: wire.code };
    return new SallyportError(code, wire.message, details === undefined ? {} : { details });
  }

  /** Passes a `SallyportError` through and wraps anything else under `code`. */
  static from(error: unknown, code: ErrorCode = "internal"): SallyportError {
    if (error instanceof SallyportError) return error;
    const message = error instanceof Error ? error.message : String(error);
    return new SallyportError(code, message, { cause: error });
  }
}

/** True for a `SallyportError` with one of `codes` (any code when none is named). */
export function isError(error: unknown, ...codes: ErrorCode[]): error is SallyportError {
  return error instanceof SallyportError && (codes.length === 0 || codes.includes(error.code));
}

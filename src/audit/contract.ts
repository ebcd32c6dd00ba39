/** The record of what sandboxes asked for, was decided, and came of it: one line each, every line hashed over the one before. */
import type { SallyportError } from "../errors.ts";

export interface AuditEntry {
  /** `decision`: a request was let through or refused; `call`: one tool call, with how it came out */
  readonly kind: "decision" | "call";
  /** One id end to end: here, in the logs, and upstream as `x-request-id` */
  readonly requestId: string;
  /** Null for a caller from outside */
  readonly job: string | null;
  readonly sandbox: string | null;
  readonly host: string;
  readonly decision: "allow" | "deny";
  /** Reason code, such as `granted`, `host_not_allowed`, `tool_not_allowed` */
  readonly reason: string;
  /** What decided: `job`, `profile`, `route`, `limit` */
  readonly rule: string;
  /** `local`, or the connector that carried it */
  readonly way?: string;
  readonly method?: string;
  readonly tool?: string;
  /** Keyed digest of a call's arguments, which the log makes */
  readonly arguments?: string;
  readonly status?: number;
  readonly outcome?: string;
  readonly ms?: number;
  readonly bytesIn?: number;
  readonly bytesOut?: number;
}

export interface AuditLog extends AsyncDisposable {
  /**
   * Appends a line; order is kept, writing is batched. A disk that fails shows in `failed`, and stops nothing. Of `args`, the
   * arguments of a call, the line has the HMAC under the key of this log: equal ones can be matched, none can be guessed.
   */
  record(entry: AuditEntry, args?: Uint8Array): void;
  /** Resolves once everything recorded so far is on disk; rejects with `failed` when the disk does not take it. */
  flush(): Promise<void>;
  /** Why the last write did not reach the disk (`store_full`, `store_unavailable`); null while all is well. Tried again for ever. */
  readonly failed: SallyportError | null;
  /** Entries that were dropped because too many waited for the disk; the log says so too, where they are missing */
  readonly lost: number;
}

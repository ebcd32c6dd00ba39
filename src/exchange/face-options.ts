/** What a face is made of. */
import type { Duplex } from "node:stream";
import type { Log } from "../log.ts";
import type { HttpResponse } from "./contract.ts";
import type { FaceRequest } from "./request.ts";

export interface FaceDeps<Context> {
  /** Answers one request; what it throws becomes `failureResponse`. `signal` fires with `cancelled` when the caller goes away. */
  handle(request: FaceRequest, context: Context, signal: AbortSignal): Promise<HttpResponse>;
  /**
   * Decides on a `CONNECT`, whose target is `request.absolute`: resolves with who gets the bytes once the caller has its 200, or
   * throws what is answered instead. Absent: every `CONNECT` is refused.
   */
  connect?(request: FaceRequest, context: Context): Promise<(bytes: Duplex) => void>;
  log: Log;
}

export interface FaceOptions {
  /** Request line and headers together; 32 KiB by default */
  maxHeaderBytes?: number;
  /** 16 KiB by default */
  maxTargetBytes?: number;
  /** A request's head must be complete this long after the connection was made or the last reply ended; 60 s by default */
  headMs?: number;
  /** Requests that wait on one connection while another is answered; 32 by default */
  maxPipelined?: number;
  /** Keep the `x-request-id` of callers where it is well-formed; else every request gets a new id */
  keepRequestId?: boolean;
}

/** One request that was let through, from its decision to the end of its reply: its bytes, and its line in the audit. */
import type { AuditEntry } from "../audit/index.ts";
import type { Forward, HttpRequest } from "../exchange/index.ts";
import { SallyportError } from "../errors.ts";
import { countedReply, countedUpload } from "./counted.ts";

/** What a sandbox may still move, over all its requests */
export class Allowance {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  /** Throws `network_limit_exceeded`. */
  spend(bytes: number): void {
    this.#left -= bytes;
    if (this.#left < 0)
      throw new SallyportError("network_limit_exceeded", "the job has moved all the bytes that it may");
  }
}

export type ExchangeEnd = Pick<AuditEntry, "status" | "outcome" | "ms" | "bytesIn" | "bytesOut">;

export interface RecordDeps {
  /** from the sandbox, and to it */
  from: Allowance;
  to: Allowance;
  clock: () => number;
  /** Told once of every request; bytes are those of the bodies, `bytesIn` from the sandbox */
  ended: (request: HttpRequest, end: ExchangeEnd) => void;
}

export function throughRecord(next: Forward, deps: RecordDeps): Forward {
  return async (request, signal) => {
    const began = deps.clock();
    let [bytesIn, bytesOut] = [0, 0];
    const ended = (end: Pick<ExchangeEnd, "status" | "outcome">): void =>
      deps.ended(request, { ...end, ms: deps.clock() - began, bytesIn, bytesOut });
    try {
      const body =
        request.body &&
        countedUpload(request.body, (bytes) => {
          deps.from.spend(bytes);
          bytesIn += bytes;
        });
      const response = await next({ ...request, body }, signal);
      const { status } = response;
      const reply = countedReply(response.body, (bytes) => {
        deps.to.spend(bytes);
        bytesOut += bytes;
      });
      // a reply that breaks is for whoever reads it to see
      reply.on("error", () => undefined);
      reply.once("close", () => ended(reply.readableEnded ? { status } : { status, outcome: "broken_off" }));
      return { ...response, body: reply };
    } catch (error) {
      const { code, status } = SallyportError.from(error);
      ended({ status, outcome: code });
      throw error;
    }
  };
}

import type { IncomingHttpHeaders } from "node:http";
import type { Identity } from "./keys.ts";

/** Says whose credential a request carries. The one seam for other kinds of it than our keys. */
export interface Authenticator {
  /** Undefined where the credential is nobody's, no longer, or missing. */
  identify(headers: IncomingHttpHeaders): Promise<Identity | undefined>;
  /** Whether the credential behind an identity told earlier is valid and has the same scopes. */
  stands(identity: Identity): Promise<boolean>;
}

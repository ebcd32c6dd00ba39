import type { FastifyInstance, FastifyRequest, RawServerDefault } from "fastify";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { FastifyBaseLogger } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { SallyportError } from "../../errors.ts";
import type { JobRecord } from "../../store/index.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import { hasScope, type Identity, type Scope } from "../auth/keys.ts";
import type { OwnNames } from "../auth/origin.ts";
import type { HubContext } from "../connections/context.ts";
import { isJobId } from "../job-id.ts";
import type { LiveUse } from "../live/live-jobs.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** `open`: no key needed; `neighbour`: another hub's to ask; else the key needs one of these scopes */
    access?: "open" | "neighbour" | readonly Scope[];
  }
  interface FastifyRequest {
    /** set once the request is let in; null on open paths */
    identity: Identity | null;
    /** SHA-256 of the JSON body as it came; empty without one */
    bodyDigest: string;
    /** what it is answered with */
    reply: ServerResponse | null;
    /** fired to leave the room that a large body takes; null where it takes none */
    heldBody: AbortController | null;
  }
}

export type Api = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;

/** What the routes work with. */
export interface ApiContext {
  readonly hub: HubContext;
  readonly keys: Authenticator;
  readonly names: OwnNames;
  /** false once the hub is about to stop, which it may say before it lets anybody go */
  takesJobs(): boolean;
  /** fires when the hub drains or stops: who follows a job is let go */
  readonly leaving: AbortSignal;
}

export function identityOf(request: FastifyRequest): Identity {
  if (request.identity !== null) return request.identity;
  throw new SallyportError("unauthenticated", "authorization: the request carries no key");
}

/** The job, when whoever asks may see it. Throws `job_unknown`. */
export async function findJob(context: ApiContext, request: FastifyRequest, id: string): Promise<JobRecord> {
  return visibleTo(request, id, isJobId(id) ? await context.hub.store.jobs.get(id) : null);
}

/** The same for a job that is watched from here on: no change behind the record can be missed. Dispose the use. */
export async function watchJob(
  context: ApiContext,
  request: FastifyRequest,
  id: string,
): Promise<{ use: LiveUse; record: JobRecord }> {
  if (!isJobId(id)) throw jobUnknown(id);
  const use = context.hub.live.open(id, "reader");
  try {
    return { use, record: visibleTo(request, id, await use.job.record()) };
  } catch (error) {
    use[Symbol.dispose]();
    throw error;
  }
}

function visibleTo(request: FastifyRequest, id: string, job: JobRecord | null): JobRecord {
  const identity = identityOf(request);
  if (job === null || (job.tenant !== identity.tenant && !hasScope(identity, "admin"))) throw jobUnknown(id);
  return job;
}

export function jobUnknown(id: string): SallyportError {
  return new SallyportError("job_unknown", `there is no job ${JSON.stringify(id.slice(0, 64))}`, {
    details: { job: id.slice(0, 64) },
  });
}

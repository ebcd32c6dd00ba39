/** The network of one job: there before its command starts, gone when that ends. */
import { withDeadline } from "../async/index.ts";
import type { LogEvent, McpGrant } from "../protocol/index.ts";
import type { Sandbox } from "../sandbox/index.ts";
import type { Lease } from "./leases.ts";
import type { CallTold, SandboxNetwork } from "./network.ts";

/** Calls that become events in the log of one job; `calls` of the result counts all, the audit has them all. */
const maxEvents = 1_000;
const maxToolLength = 128;

export interface JobNetwork extends AsyncDisposable {
  /** Tool calls that were let through */
  readonly calls: number;
  /** Where every call goes once it is over, those told before included */
  tellTo(listener: (event: LogEvent) => void): void;
}

/** A job without grants has none: nothing listens. Throws what the network's `attach` throws. */
export async function openNetwork(
  network: SandboxNetwork | undefined,
  job: { lease: Lease; sandbox: Sandbox; grants: readonly McpGrant[] },
): Promise<JobNetwork> {
  const { lease, sandbox, grants } = job;
  const events = new CallEvents();
  const tellTo = (listener: (event: LogEvent) => void): void => events.tellTo(listener);
  if (network === undefined || grants.length === 0)
    return { calls: 0, tellTo, [Symbol.asyncDispose]: () => Promise.resolve() };
  const subject = { job: lease.ref.lease, sandbox: sandbox.id, profile: lease.profile.name };
  const attachment = await network.attach(sandbox.guest, subject, grants, (call) => events.push(call));
  return {
    get calls() {
      return attachment.calls;
    },
    tellTo,
    [Symbol.asyncDispose]: () => attachment[Symbol.asyncDispose](),
  };
}

/** Never rejects; what outlives the bound goes with the sandbox. One that could not be opened is told where that is waited for. */
export async function closeNetwork(
  opening: Promise<JobNetwork>,
  lease: Lease,
  boundMs: number,
): Promise<void> {
  const closed = opening.then(
    (network) => network[Symbol.asyncDispose](),
    () => undefined,
  );
  try {
    await withDeadline(closed, boundMs, "cutting the network");
  } catch (error) {
    lease.log.warn({ err: error }, "a sandbox's network was not cut");
  }
}

class CallEvents {
  readonly #early: LogEvent[] = [];
  #count = 0;
  #listener: (event: LogEvent) => void = (event) => this.#early.push(event);

  push(call: CallTold): void {
    this.#count += 1;
    if (this.#count <= maxEvents) this.#listener(eventOf(call));
  }

  tellTo(listener: (event: LogEvent) => void): void {
    this.#listener = listener;
    this.#early.splice(0).forEach(listener);
  }
}

function eventOf({ tool, ms, ...rest }: CallTold): LogEvent {
  return { event: "call", ...rest, tool: tool.slice(0, maxToolLength), ms: Math.round(ms * 10) / 10 };
}

/** A network for sandboxes that only notes what it is asked for. */
import { SallyportError } from "../../src/errors.ts";
import type { CallTold, NetworkAttachment, SandboxNetwork } from "../../src/worker/index.ts";

export type Attached = Parameters<SandboxNetwork["attach"]>;

export interface FakeNetwork extends SandboxNetwork {
  readonly attached: Attached[];
  /** How many attachments are live */
  live: number;
  /** What the next `attach` does instead */
  fault: (() => Promise<never>) | undefined;
  setRoutes(names: readonly string[]): void;
}

export const testDomain = "t.test";

export function call(over: Partial<CallTold> = {}): CallTold {
  return {
    requestId: "r1",
    host: `docs.${testDomain}`,
    tool: "search",
    decision: "allow",
    reason: "granted",
    outcome: "answered",
    ms: 1.26,
    ...over,
  };
}

export function fakeNetwork(...names: string[]): FakeNetwork {
  let routes: readonly string[] = names;
  const listeners = new Set<() => void>();
  const full = (name: string): string => `${name}.${testDomain}`;
  const network: FakeNetwork = {
    attached: [],
    live: 0,
    fault: undefined,
    caPem: "CERTIFICATE",
    hosts: () => routes.map(full),
    resolve: (host) => {
      const name = routes.find((name) => name === host || full(name) === host);
      if (name === undefined) throw new SallyportError("route_unknown", `no route to ${host}`);
      return full(name);
    },
    onChange: (listener) => {
      listeners.add(listener);
      return { [Symbol.dispose]: () => listeners.delete(listener) };
    },
    attach: async (...parts): Promise<NetworkAttachment> => {
      if (network.fault !== undefined) return await network.fault();
      network.attached.push(parts);
      network.live += 1;
      let calls = 0;
      let live = true;
      const onCall = parts[3];
      parts[3] = (told) => {
        if (told.decision === "allow") calls += 1;
        onCall(told);
      };
      return {
        get calls() {
          return calls;
        },
        [Symbol.asyncDispose]: async () => {
          if (live) network.live -= 1;
          live = false;
        },
      };
    },
    setRoutes: (names) => {
      routes = names;
      for (const listener of listeners) listener();
    },
  };
  return network;
}

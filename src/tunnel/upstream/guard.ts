/** Keeps the tunnel from being used to reach what was not meant: the address that was checked is the one that is dialled. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { abortable } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import type { TunnelConfig } from "../contract.ts";
import { plainAddress, rangeSet } from "./ranges.ts";

/** Every address of a name, A and AAAA, in text form. */
export type ResolveAll = (host: string) => Promise<readonly string[]>;

export interface UpstreamGuard {
  /**
   * Resolves `host` once and returns every address, each of them allowed, to be dialled as they are. Throws
   * `upstream_address_denied` where any answer is not allowed, and `upstream_unreachable` where there is no answer.
   */
  check(host: string, signal: AbortSignal): Promise<readonly string[]>;
}

type Rules = Pick<TunnelConfig["upstream"], "allowedIps" | "disableIpValidation">;

export function createGuard(rules: Rules, resolve: ResolveAll = resolveAll): UpstreamGuard {
  const allowed = rangeSet(rules.allowedIps);
  return {
    check: async (host, signal) => {
      const answers = isIP(host) === 0 ? await answersFor(host, resolve, signal) : [host];
      return answers.map((answer) => {
        const address = plainAddress(answer);
        if (address === undefined || !(rules.disableIpValidation || allowed(address)))
          throw denied(host, answer);
        return address;
      });
    },
  };
}

async function resolveAll(host: string): Promise<string[]> {
  const answers = await lookup(host, { all: true, order: "verbatim" });
  return answers.map(({ address }) => address);
}

async function answersFor(
  host: string,
  resolve: ResolveAll,
  signal: AbortSignal,
): Promise<readonly string[]> {
  let answers: readonly string[];
  try {
    answers = await abortable(resolve(host), signal);
  } catch (error) {
    signal.throwIfAborted();
    throw unresolved(host, error);
  }
  if (answers.length === 0) throw unresolved(host);
  return answers;
}

function unresolved(host: string, cause?: unknown): SallyportError {
  return new SallyportError("upstream_unreachable", `${host} does not resolve to an address`, {
    details: { layer: "ip", host, fix: "correct the upstream's host, or its name service" },
    cause,
  });
}

function denied(host: string, address: string): SallyportError {
  return new SallyportError(
    "upstream_address_denied",
    `IP validation failed: ${address} is not a private address`,
    {
      details: {
        layer: "ip",
        host,
        address,
        fix: "list the narrowest range in upstream.allowed_ips, which replaces the default",
      },
    },
  );
}

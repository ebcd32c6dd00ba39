/** Which names this hub answers to: keeps web pages and rebound DNS names away from a listener on loopback. */
import { SallyportError } from "../../errors.ts";

const loopback = new Set(["127.0.0.1", "localhost", "::1"]);

export interface RequestNames {
  host: string | undefined;
  origin: string | undefined;
}

export interface OwnNames {
  /** address this hub is bound to */
  boundHost: string;
  /** further names it is known under */
  publicHosts: readonly string[];
}

/** Throws `origin_denied` for a Host that is not ours, and for an Origin other than that very host. */
export function checkNames(request: RequestNames, own: OwnNames): void {
  const name = hostName(request.host);
  if (name === undefined || !namesOf(own).has(name)) {
    throw new SallyportError("origin_denied", `host: this hub does not answer to ${quote(request.host)}`, {
      details: { field: "host", fix: "use the address it listens on, or add the name to its public hosts" },
    });
  }
  if (request.origin === undefined) return;
  if (originHost(request.origin) !== request.host?.toLowerCase()) {
    throw new SallyportError("origin_denied", `origin: ${quote(request.origin)} may not call this hub`, {
      details: { field: "origin" },
    });
  }
}

function namesOf(own: OwnNames): Set<string> {
  const bound = own.boundHost.toLowerCase();
  const names = new Set([bound, ...own.publicHosts.map((host) => host.toLowerCase())]);
  if (loopback.has(bound)) loopback.forEach((name) => names.add(name));
  return names;
}

/** `Name:80` → `name`, `[::1]:80` → `::1`; undefined for what is no host. */
function hostName(host: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(host ?? "");
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}

function originHost(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

function quote(text: string | undefined): string {
  return text === undefined ? "a request without it" : JSON.stringify(text.slice(0, 200));
}

/** The network of sandboxes as the worker sees it: what made it ready for a profile, and what of it a job is granted. */
import { isError, SallyportError } from "../errors.ts";
import type { JobSpec, McpGrant } from "../protocol/index.ts";
import type { Guest, GuestNet, Profile } from "../sandbox/index.ts";

/** One tool call that a sandbox asked for, and what came of it. */
export interface CallTold {
  requestId: string;
  host: string;
  tool: string;
  decision: "allow" | "deny";
  /** Reason code */
  reason: string;
  /** Null where nothing was sent */
  outcome: string | null;
  ms: number;
}

export interface NetworkAttachment extends AsyncDisposable {
  /** Tool calls that were let through */
  readonly calls: number;
}

/** What gives sandboxes their network; `egress` has one. */
export interface SandboxNetwork {
  /** PEM of the authority that signs for every host towards the sandboxes of this worker */
  readonly caPem: string;
  /** Canonical hostnames of every route known now */
  hosts(): readonly string[];
  onChange(listener: () => void): Disposable;
  /** The full hostname that a grant's host stands for. Throws `route_unknown`. */
  resolve(host: string): string;
  /** `onCall` is told of every call once it is over; never after the attachment is disposed. */
  attach(
    guest: Pick<GuestNet, "listen">,
    subject: { job: string; sandbox: string; profile: string },
    grants: readonly McpGrant[],
    onCall: (call: CallTold) => void,
  ): Promise<NetworkAttachment>;
}

/** What a sandbox of a profile gets before anybody uses it, the same whether it is made ahead or for a job. */
export interface Outfit {
  /** Names that resolve in it, sorted */
  readonly hosts: readonly string[];
  /** Put before the profile's own variables */
  readonly env: Readonly<Record<string, string>>;
  readonly caPem: string | null;
}

/** Where no network is, or the profile allows none. */
export const plainOutfit: Outfit = Object.freeze({ hosts: [], env: {}, caPem: null });

const caPath = "/run/sallyport/ca.crt";
/** Where OpenSSL with Python, Node, requests and curl look for authorities */
const caVariables = ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];
const caEnv = Object.freeze(Object.fromEntries(caVariables.map((name) => [name, caPath])));

export function outfitOf(profile: Profile, network: SandboxNetwork | undefined): Outfit {
  if (network === undefined || profile.network.mcp.length === 0) return plainOutfit;
  return { hosts: ceilingHosts(profile, network), env: caEnv, caPem: network.caPem };
}

/** Puts what an outfit has to be a file where it belongs. Throws what the guest's file calls throw. */
export async function equip(guest: Pick<Guest, "files">, { caPem }: Outfit): Promise<void> {
  if (caPem !== null) await guest.files.put(caPath, Buffer.from(caPem), 0o444);
}

/** Calls back once routes have changed and then stayed as they are for `quietMs`. */
export function watchRoutes(
  network: SandboxNetwork | undefined,
  quietMs: number,
  changed: () => void,
): Disposable {
  let timer: NodeJS.Timeout | undefined;
  const watching = network?.onChange(() => {
    clearTimeout(timer);
    timer = setTimeout(changed, quietMs);
  });
  return {
    [Symbol.dispose]: () => {
      watching?.[Symbol.dispose]();
      clearTimeout(timer);
    },
  };
}

/**
 * What a job is granted: full hostnames, and of their tools no more than the profile's ceiling. Throws `host_not_allowed` for one
 * above the ceiling, `route_unknown` for one nobody serves, `request_invalid` for one that stands twice; each names the field.
 */
export function grantsOf(
  spec: Pick<JobSpec, "mcp">,
  profile: Profile,
  network: SandboxNetwork | undefined,
): McpGrant[] {
  const granted = new Map<string, McpGrant>();
  spec.mcp.forEach((grant, at) => {
    const details = { field: `mcp[${at}].host`, host: grant.host };
    const host = network === undefined ? grant.host : tryResolve(network, grant.host);
    const entry = ceilingFor({ ...grant, full: host }, profile, network);
    if (entry === undefined) {
      const why = `mcp[${at}].host: profile ${profile.name} does not allow ${grant.host}`;
      throw new SallyportError("host_not_allowed", why, { details });
    }
    if (host === undefined)
      throw new SallyportError("route_unknown", `mcp[${at}].host: no route to ${grant.host}`, { details });
    if (granted.has(host))
      throw new SallyportError("request_invalid", `mcp[${at}].host: ${host} is granted twice`, { details });
    granted.set(host, { ...grant, host, tools: tighter(grant.tools, entry.tools) });
  });
  return [...granted.values()];
}

type CeilingEntry = Profile["network"]["mcp"][number];

/** The entry that names the host decides; `*` does where none does. */
function ceilingFor(
  wanted: { host: string; full: string | undefined },
  { network: { mcp } }: Profile,
  network: SandboxNetwork | undefined,
): CeilingEntry | undefined {
  const names = ({ host }: CeilingEntry): boolean =>
    host !== "*" &&
    (host === wanted.host ||
      (wanted.full !== undefined && network !== undefined && tryResolve(network, host) === wanted.full));
  return mcp.find(names) ?? mcp.find(({ host }) => host === "*");
}

function ceilingHosts({ network: { mcp } }: Profile, network: SandboxNetwork): string[] {
  const hosts = mcp.flatMap(({ host }) =>
    host === "*" ? network.hosts() : (tryResolve(network, host) ?? []),
  );
  return [...new Set(hosts)].sort();
}

function tryResolve(network: SandboxNetwork, host: string): string | undefined {
  try {
    return network.resolve(host);
  } catch (error) {
    if (isError(error, "route_unknown")) return undefined;
    throw error;
  }
}

function tighter(
  wanted: readonly string[] | undefined,
  ceiling: readonly string[] | undefined,
): string[] | undefined {
  if (wanted === undefined) return ceiling === undefined ? undefined : [...ceiling];
  return wanted.filter((tool) => ceiling?.includes(tool) ?? true);
}

/** Certificates and tunnel files: what an operator writes once. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Context } from "../context.ts";
import type { Upstreams } from "./upstreams.ts";

export const tunnelDomain = "tunnel.demo.internal";

export interface TunnelFiles {
  /** Certificate of the authority that callers trust */
  caFile: string;
  /** The worker's own: `docs` */
  worker: string;
  /** The connector's, which no worker can reach by itself: `everything` */
  connector: string;
}

export async function writeTunnelFiles(
  context: Context,
  dir: string,
  upstreams: Upstreams,
): Promise<TunnelFiles> {
  const certs = join(dir, "certs");
  await (await context.roles.certs()).init({ dir: certs, domain: tunnelDomain, days: 90 });
  const [worker, connector] = [join(dir, "worker.yaml"), join(dir, "connector.yaml")];
  await writeFile(worker, tunnelFile(certs, "docs", upstreams.docs));
  await writeFile(connector, tunnelFile(certs, "everything", upstreams.everything));
  return { caFile: join(certs, "ca.crt"), worker, connector };
}

/** Loopback is never reached unless it is listed; here the upstreams stand on it. */
function tunnelFile(certs: string, route: string, upstream: string): string {
  return `tunnel_domain: ${tunnelDomain}
tls:
  cert_file: ${join(certs, "tls.crt")}
  key_file: ${join(certs, "tls.key")}
routes:
  ${route}: http://${upstream}
upstream:
  allowed_ips: [127.0.0.1]
`;
}

/** Walks the layers of one call from this host. */
import { readCredential, readTunnelFile } from "../config/index.ts";
import { SallyportError } from "../errors.ts";
import { explain, readAuthorities, type EdgeWay, type ExplainStep, type ToldRoute } from "../tunnel/index.ts";

export interface ExplainRequest {
  readonly url: string;
  readonly tunnelFile?: string | undefined;
  /** `HOST:PORT` */
  readonly edge?: string | undefined;
  readonly caFile?: string | undefined;
  /** Every route the hub knows; absent: it is not asked */
  readonly known?: readonly ToldRoute[] | undefined;
  readonly signal: AbortSignal;
}

export async function explainUrl(request: ExplainRequest): Promise<readonly ExplainStep[]> {
  const { url, tunnelFile, edge, known, signal } = request;
  const config = tunnelFile === undefined ? undefined : await readTunnelFile(tunnelFile, { need: "worker" });
  const way = edge === undefined ? undefined : { ...readEdge(edge), caPem: await readCa(request.caFile) };
  return await explain(url, { config, edge: way, known }, { readSecret: readCredential, signal });
}

function readEdge(text: string): Pick<EdgeWay, "host" | "port"> {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):([1-9]\d{0,4})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3] ?? Number.NaN);
  if (host !== undefined && port <= 65_535) return { host, port };
  throw wrong(
    `--edge: ${JSON.stringify(text)} is not an address`,
    "write HOST:PORT, such as hub.example.com:7443",
  );
}

async function readCa(path: string | undefined): Promise<string | null> {
  if (path === undefined) return null;
  return await readAuthorities(path, {
    field: "--ca",
    fix: "name the ca.crt that `sallyport certs init` made",
  });
}

function wrong(message: string, fix: string): SallyportError {
  return new SallyportError("config_invalid", message, { details: { source: "command line", fix } });
}

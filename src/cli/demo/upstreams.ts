/** Two real MCP servers, as they would stand in a network that nobody outside can reach. */
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { Process, readyLine } from "./process.ts";

export interface Upstreams extends AsyncDisposable {
  /** `host:port` of the sample server: documents, and a tool nobody should call */
  readonly docs: string;
  /** `host:port` of `@modelcontextprotocol/server-everything` */
  readonly everything: string;
}

export async function startUpstreams(signal: AbortSignal): Promise<Upstreams> {
  await using stack = new AsyncDisposableStack();
  const sample = fileURLToPath(new URL("../../mcp/sample/main.ts", import.meta.url));
  const docs = stack.use(new Process("sample MCP server", [sample, "--port", "0"]));
  const port = await freePort();
  const everything = stack.use(
    new Process("server-everything", [entryOfEverything(), "streamableHttp"], {
      env: { PORT: String(port) },
      announcing: "stderr",
    }),
  );
  const { url = "" } = await docs.ready(readyLine, signal);
  await everything.ready((line) => (line.includes("listening on port") ? true : undefined), signal);
  const owned = stack.move();
  return {
    docs: new URL(url).host,
    everything: `127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function entryOfEverything(): string {
  return fileURLToPath(import.meta.resolve("@modelcontextprotocol/server-everything/dist/index.js"));
}

/** That server takes its port by number only. */
async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}

import type { SampleServer, SampleServerOptions } from "./listener.ts";

/** Starts the sample MCP server. The MCP SDK is loaded here and by nothing else of this room, so who only reads traffic pays nothing. */
export async function startSampleServer(options: SampleServerOptions = {}): Promise<SampleServer> {
  const { listenSample } = await import("./listener.ts");
  return await listenSample(options);
}

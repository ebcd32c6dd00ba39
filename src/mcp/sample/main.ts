/** `node src/mcp/sample/main.ts [--host H] [--port N]`: the sample MCP server as a process; one JSON line once it is ready. */
import { parseArgs } from "node:util";
import { listenSample } from "./listener.ts";

const { values } = parseArgs({
  options: { host: { type: "string", default: "127.0.0.1" }, port: { type: "string", default: "0" } },
});
const sample = await listenSample({ host: values.host, port: Number(values.port) });
process.stdout.write(`${JSON.stringify({ event: "ready", url: sample.url })}\n`);
const stop = (): void => void sample[Symbol.asyncDispose]();
process.once("SIGTERM", stop).once("SIGINT", stop);

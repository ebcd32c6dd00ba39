// The official client, unmodified.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
const client = new Client({ name: "demo", version: "1" });
await client.connect(new StreamableHTTPClientTransport(new URL(process.env.MCP_URL)));
const { tools } = await client.listTools();
const sum = await client.callTool({ name: "get-sum", arguments: { a: 2, b: 40 } });
let steps = 0;
const options = { onprogress: () => (steps += 1) };
const long = { name: "trigger-long-running-operation", arguments: { duration: 1, steps: 4 } };
await client.callTool(long, undefined, options);
const echo = { name: "echo", arguments: { message: "hello" } };
const denied = await client.callTool(echo).then(
  () => "CALLED",
  (error) => error.data?.reason,
);
console.log(
  JSON.stringify({ tools: tools.map((tool) => tool.name), sum: sum.content[0].text, steps, denied }),
);
process.exit(0);

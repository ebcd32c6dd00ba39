/** An MCP server that does nothing but answer: what is measured is the way to it. Prints one JSON line once it listens. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const answer = createServer({ keepAliveTimeout: 60_000 }, (request, reply) => {
  let body = "";
  request.setEncoding("utf8").on("data", (text: string) => (body += text));
  request.once("end", () => {
    const { id } = JSON.parse(body) as { id: number };
    const result = { content: [{ type: "text", text: "ok" }] };
    reply.setHeader("content-type", "application/json");
    reply.end(JSON.stringify({ jsonrpc: "2.0", id, result }));
  });
});
answer.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ url: `http://127.0.0.1:${(answer.address() as AddressInfo).port}/mcp` }));
});
process.once("SIGTERM", () => process.exit(0));

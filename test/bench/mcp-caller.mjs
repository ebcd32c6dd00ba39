/** Calls a tool again and again, on the host or in a sandbox alike; prints how long each call took, in ms, as JSON. */
import { Agent as HttpAgent, request as http } from "node:http";
import { Agent as HttpsAgent, request as https } from "node:https";

const url = new URL(process.env.MCP_URL);
const [total, atOnce] = [Number(process.env.CALLS), Number(process.env.AT_ONCE)];
const secure = url.protocol === "https:";
const agent = new (secure ? HttpsAgent : HttpAgent)({ keepAlive: true, maxSockets: atOnce });
const headers = { "content-type": "application/json", accept: "application/json, text/event-stream" };

function call(id) {
  const params = { name: "nothing", arguments: { text: "x".repeat(100) } };
  const body = JSON.stringify({ jsonrpc: "2.0", id, method: "tools/call", params });
  return new Promise((resolve, reject) => {
    const sent = (secure ? https : http)(url, { method: "POST", agent, headers }, (reply) => {
      let text = "";
      reply.setEncoding("utf8").on("data", (part) => (text += part));
      reply.once("end", () => {
        const { id: answered, result } = JSON.parse(text);
        if (reply.statusCode === 200 && answered === id && result !== undefined) resolve();
        else reject(new Error(`call ${id}: ${reply.statusCode} ${text}`));
      });
    });
    sent.once("error", reject).end(body);
  });
}

const samples = [];
let next = 0;
async function caller() {
  while (next < total) {
    const id = next++;
    const began = performance.now();
    await call(id);
    samples.push(Number((performance.now() - began).toFixed(3)));
  }
}

for (let id = -30; id < 0; id += 1) await call(id);
const began = performance.now();
await Promise.all(Array.from({ length: atOnce }, caller));
console.log(JSON.stringify({ samples, ms: performance.now() - began }));
agent.destroy();

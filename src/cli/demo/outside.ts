/** Steps on the other side: a caller that comes in through the edge, and the record of it all. */
import { cp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { TLSSocket } from "node:tls";
import { verifyAudit } from "../../audit/index.ts";
import type { Fleet } from "./fleet.ts";
import { expect, type Step } from "./step.ts";
import { tunnelDomain } from "./tunnel-files.ts";

export function outside(fleet: Fleet): readonly Step[] {
  return [edgeStep(fleet), auditStep(fleet)];
}

function edgeStep(fleet: Fleet): Step {
  return {
    title: "A caller from outside reaches the same MCP server through the edge, which reads nothing of it",
    async run() {
      const host = `everything.${tunnelDomain}`;
      const clientInfo = { name: "outside", version: "1" };
      const params = { protocolVersion: "2025-06-18", capabilities: {}, clientInfo };
      const initialize = { jsonrpc: "2.0", id: 1, method: "initialize", params };
      const reply = await post(fleet, host, initialize);
      expect(reply.status === 200, "an answer", reply);
      expect(reply.body.includes("mcp-servers/everything"), "server-everything", reply.body);
      expect(reply.issuer !== "", "the tunnel's own certificate", reply);
      return `${host}: ${reply.status} from mcp-servers/everything · certificate checked against ${reply.issuer}`;
    },
  };
}

interface Reply {
  status: number;
  body: string;
  issuer: string;
}

/** As any HTTPS client does it that trusts the tunnel's authority and finds the edge under that name. */
async function post({ edge, caFile }: Fleet, host: string, message: object): Promise<Reply> {
  const { hostname, port } = new URL(`tcp://${edge}`);
  const ca = await readFile(caFile, "utf8");
  return await new Promise((resolve, reject) => {
    const headers = {
      host,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
    };
    const options = { host: hostname, port, servername: host, ca, method: "POST", path: "/mcp", headers };
    const sent = request({ ...options, agent: false }, (reply) => {
      const socket = reply.socket as TLSSocket;
      const issuer = socket.getPeerCertificate().issuer?.CN;
      text(reply).then(
        (body) => resolve({ status: reply.statusCode ?? 0, body, issuer: String(issuer ?? "") }),
        reject,
      );
    });
    sent.once("error", reject).end(JSON.stringify(message));
  });
}

function auditStep({ auditDir }: Fleet): Step {
  return {
    title: "The audit log holds every decision and call, and one changed byte is found",
    async run() {
      const report = await verifyAudit(auditDir);
      expect(report.ok && report.lines > 0, "the log to verify", report);
      const copy = `${auditDir}-copy`;
      try {
        await cp(auditDir, copy, { recursive: true });
        const line = await spoil(copy);
        const spoiled = await verifyAudit(copy);
        expect(!spoiled.ok && spoiled.fault?.line === line, `line ${line} to be named`, spoiled);
        return `${report.lines} lines verified · a byte changed in a copy: line ${line} named`;
      } finally {
        await rm(copy, { recursive: true, force: true });
      }
    },
  };
}

/** Changes one byte in the middle of the first file; resolves with the number of its line. */
async function spoil(dir: string): Promise<number> {
  const [name = ""] = (await readdir(dir)).filter((entry) => entry.endsWith(".jsonl")).toSorted();
  const bytes = await readFile(join(dir, name));
  const at = Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await writeFile(join(dir, name), bytes);
  return bytes.subarray(0, at).filter((byte) => byte === 10).length + 1;
}

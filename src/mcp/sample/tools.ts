/** The tools of the sample MCP server, and what they leave behind. */
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { z } from "zod";
import { sleep } from "../../async/index.ts";

/** What was really carried out, however often it was asked for. */
export interface SampleLedger {
  /** Labels `count` was called with, in order */
  readonly counted: readonly string[];
  readonly searches: number;
  /** How often `delete_everything` ran */
  readonly deletions: number;
}

export interface OpenLedger extends SampleLedger {
  counted: string[];
  searches: number;
  deletions: number;
}

export interface SampleDocument {
  readonly title: string;
  readonly text: string;
}

const corpus: readonly SampleDocument[] = [
  { title: "Leave", text: "Every employee has 25 days of leave a year. Ask your team lead two weeks ahead." },
  { title: "Expenses", text: "Hand in receipts within 30 days. Travel by train is preferred below 600 km." },
  { title: "On call", text: "The on-call engineer answers within 15 minutes and writes up every incident." },
  { title: "Releases", text: "Releases leave on Tuesdays. A release needs two reviews and a green build." },
  { title: "Backups", text: "Backups run every night and are restored as a test on the first of the month." },
];

/** longest run of the slow tool in `ms` */
const slowestMs = 60_000;

const text = (value: string): { content: { type: "text"; text: string }[] } => ({
  content: [{ type: "text", text: value }],
});

/** A server for one session; the SDK connects each to one transport only. */
export function createSample(ledger: OpenLedger): McpServer {
  const server = new McpServer({ name: "sallyport-sample", version: "1.0.0" });
  addSearch(server, ledger);
  server.registerTool(
    "count",
    {
      description: "Adds a line to the ledger and tells how many there are",
      inputSchema: { label: z.string() },
    },
    ({ label }) => text(String(ledger.counted.push(label))),
  );
  server.registerTool(
    "delete_everything",
    { description: "Deletes every document", annotations: { destructiveHint: true } },
    () => {
      ledger.deletions += 1;
      return text("everything is gone");
    },
  );
  addSlow(server);
  return server;
}

function addSearch(server: McpServer, ledger: OpenLedger): void {
  const search = {
    description: "Finds documents that contain every word of the query",
    inputSchema: { query: z.string() },
    annotations: { readOnlyHint: true },
  };
  server.registerTool("search_docs", search, ({ query }) => {
    ledger.searches += 1;
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    const found = corpus.filter((entry) =>
      words.every((word) => `${entry.title} ${entry.text}`.toLowerCase().includes(word)),
    );
    return text(found.length === 0 ? "nothing found" : found.map((e) => `${e.title}: ${e.text}`).join("\n"));
  });
}

function addSlow(server: McpServer): void {
  const slow = {
    description: "Works for a while and tells its progress",
    inputSchema: { ms: z.number().int().min(0).max(slowestMs), steps: z.number().int().min(1).max(1_000) },
  };
  server.registerTool("work_slowly", slow, async ({ ms, steps }, { _meta, sendNotification, signal }) => {
    for (let step = 1; step <= steps; step += 1) {
      await sleep(ms / steps, signal);
      const progressToken = _meta?.progressToken;
      if (progressToken === undefined) continue;
      await sendNotification({
        method: "notifications/progress",
        params: { progressToken, progress: step, total: steps },
      });
    }
    return text(`done in ${steps} steps`);
  });
}

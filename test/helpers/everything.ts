/** `@modelcontextprotocol/server-everything` as a process of its own: a real MCP server, nobody's of ours. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { withDeadline } from "../../src/async/index.ts";
import { freePort } from "./free-port.ts";

export interface Everything extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
}

const entry = fileURLToPath(
  new URL("../../node_modules/@modelcontextprotocol/server-everything/dist/index.js", import.meta.url),
);

/** Resolves once it listens. It takes a port by number only, so a free one is looked for first. */
export async function startEverything(): Promise<Everything> {
  const port = await freePort();
  const child = spawn(process.execPath, [entry, "streamableHttp"], {
    env: { PATH: process.env["PATH"], PORT: String(port) },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const exited = once(child, "exit");
  const listening = new Promise<void>((resolve, reject) => {
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (said.includes("listening on port")) resolve();
    });
    child.once("exit", () => reject(new Error(`server-everything ended at once: ${said}`)));
  });
  await withDeadline(listening, 30_000, "the start of server-everything");
  return {
    port,
    url: `http://127.0.0.1:${port}/mcp`,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

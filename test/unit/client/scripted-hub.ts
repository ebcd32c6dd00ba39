import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;
export type Handler = Answer | ((...from: Parameters<Answer>) => Promise<void>);

export interface ScriptedHub extends AsyncDisposable {
  url: string;
  /** `METHOD path?query` of every request, in order */
  seen: string[];
}

/** A hub that answers the n-th request with the n-th handler, and every later one with the last. */
export async function scriptedHub(...handlers: Handler[]): Promise<ScriptedHub> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    const handler = handlers[Math.min(seen.length, handlers.length - 1)];
    seen.push(`${request.method} ${request.url}`);
    void handler?.(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

export function json(status: number, body: unknown): Answer {
  return (request, response) => {
    request.resume();
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  };
}

/** Sends `text` as an event stream; then ends it, or cuts the connection. */
export function sse(text: string, options: { cut?: boolean; headers?: Record<string, string> } = {}): Answer {
  return (request, response) => {
    request.resume();
    response.writeHead(200, { "content-type": "text/event-stream", ...options.headers });
    response.write(text, () => (options.cut === true ? response.destroy() : response.end()));
  };
}

export function event(id: string, name: string, data: unknown): string {
  return `id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** What a hub says of a job, as far as `change` does not say otherwise. */
export const jobView = <Change extends object>(change: Change) => ({
  id: "job_1",
  state: "queued",
  profile: "python",
  tenant: "default",
  createdAt: "2026-01-01T00:00:00.000Z",
  priority: 0,
  labels: {},
  cancelRequested: false,
  attempts: [],
  result: null,
  ...change,
});

export const result = {
  state: "succeeded",
  exitCode: 0,
  signal: null,
  reason: "exited",
  attempt: 1,
  startedAt: "2026-01-01T00:00:00.000Z",
  finishedAt: "2026-01-01T00:00:01.000Z",
  timings: { queuedMs: 1, startMs: 2, runMs: 3, warm: true },
  usage: { cpuMs: 1, maxRssBytes: 1 },
  output: { stdoutBytes: 2, stderrBytes: 0, truncated: false, missing: null },
  oom: false,
  artifacts: [],
  calls: 0,
  error: null,
};

/** What a scripted hub says of one job, and its answers by path. */
import type { ServerResponse } from "node:http";
import { event, jobView, result, type Handler } from "../client/scripted-hub.ts";

export const headers = { "x-job-id": "job_1" };
export const queued = event("0:0", "queued", { job: "job_1", at: 1 });
export const finished = (change: object = {}): string =>
  event("1:9:end", "finished", { result: { ...result, ...change } });
export const output = (stream: string, offset: number, bytes: Uint8Array): string =>
  event(`1:${offset + 1}`, stream, { at: 1, offset, base64: Buffer.from(bytes).toString("base64") });
export const job = (change: object = {}): object =>
  jobView({ state: "running", profile: "shell", ...change });

/** A job whose events stay open behind what it has printed; `followed` resolves with the reply they go out on. */
export function openJob(printed = ""): { submit: Handler; followed: Promise<ServerResponse> } {
  const reply = Promise.withResolvers<ServerResponse>();
  return {
    followed: reply.promise,
    submit: (request, response) => {
      request.resume();
      response.writeHead(200, headers).write(queued + printed);
      reply.resolve(response);
    },
  };
}

/** Answers by path, so that requests may come in any order. */
export function routes(table: Record<string, Handler>): Handler {
  return (request, response) => {
    const path = `${request.method} ${request.url?.split("?")[0]}`;
    const handler = table[path];
    if (handler === undefined) throw new Error(`unexpected ${path}`);
    return handler(request, response);
  };
}

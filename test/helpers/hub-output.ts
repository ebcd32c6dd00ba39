/** A job that prints on both streams, and the readers of what a job printed. */
import { bytesOf, sseEvents, type SeenEvent, type TestHub } from "./hub.ts";
import type { SimulatedJob } from "./simulated-worker.ts";

export function get(
  hub: TestHub,
  path: string,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<Response> {
  const init = signal === undefined ? {} : { signal };
  return fetch(`${hub.url}${path}`, {
    ...init,
    headers: { authorization: `Bearer ${hub.adminKey}`, ...headers },
  });
}

export function submitAndFollow(hub: TestHub): Promise<Response> {
  return fetch(`${hub.url}/v1/jobs`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${hub.adminKey}`,
      accept: "text/event-stream",
      "content-type": "application/json",
    },
    body: JSON.stringify({ profile: "shell", command: ["x"] }),
  });
}

export async function eventsOf(hub: TestHub, id: string, lastEventId?: string): Promise<SeenEvent[]> {
  const headers: Record<string, string> = lastEventId === undefined ? {} : { "last-event-id": lastEventId };
  const response = await get(hub, `/v1/jobs/${id}/events`, headers);
  return response.status === 204 ? [] : await Array.fromAsync(sseEvents(response));
}

export const printed = (events: SeenEvent[], stream: string): Buffer =>
  Buffer.concat(events.filter((entry) => entry.event === stream).map(bytesOf));

/** Text, a character cut in two, bytes that are no text, and NUL, on both streams. */
export async function printMuch(job: SimulatedJob): Promise<void> {
  job.started();
  job.print("stdout", "plain\n");
  job.print("stderr", "warning: ü\n");
  job.print("stdout", Buffer.from("é").subarray(0, 1));
  job.print("stdout", Buffer.from("é").subarray(1));
  job.print("stdout", Buffer.from([0, 1, 255, 254]));
  job.print("stderr", "data: x\n\nid: 9:9\n\nevent: finished\n\n");
  await job.exit({ exitCode: 3 });
}
export const wholeStdout = Buffer.concat([Buffer.from("plain\né"), Buffer.from([0, 1, 255, 254])]);
export const wholeStderr = Buffer.from("warning: ü\ndata: x\n\nid: 9:9\n\nevent: finished\n\n");

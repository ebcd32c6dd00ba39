import { abortable } from "../../async/index.ts";
import { isError } from "../../errors.ts";
import type { HubContext } from "./context.ts";
import type { HeldJob } from "./held-job.ts";
import { persist } from "./persist.ts";
import type { WorkerConnection } from "./worker-connection.ts";

/** bytes handed to the channel at once */
const pieceBytes = 256 * 2 ** 10;

/**
 * Sends the contents of a job's files and its stdin text, of which one part at a time is in memory. That the worker no longer wants
 * them, or is gone, is no failure.
 */
export async function sendInputs(
  context: HubContext,
  connection: WorkerConnection,
  job: HeldJob,
): Promise<void> {
  try {
    const stream = connection.channel.open({ kind: "inputs", ...job.lease });
    stream.finished.catch(() => undefined);
    let sent = 0;
    for (let n = 0; sent < job.inputBytes; n += 1) {
      const part = await persist(() => context.store.jobs.inputs(job.jobId, n), job.ended);
      if (part === null) break;
      for (let at = 0; at < part.length; at += pieceBytes) {
        await abortable(stream.write(part.subarray(at, at + pieceBytes)), job.ended);
      }
      sent += part.length;
    }
    stream.end();
  } catch (error) {
    if (!isError(error, "stream_reset", "channel_closed") && !job.ended.aborted) throw error;
    connection.log.debug({ jobId: job.jobId, err: error }, "inputs not wanted any more");
  }
}

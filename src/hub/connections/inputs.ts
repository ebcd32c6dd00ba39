import { abortable } from "../../async/index.ts";
import { isError } from "../../errors.ts";
import type { HubContext } from "./context.ts";
import type { HeldJob } from "./held-job.ts";
import type { WorkerConnection } from "./worker-connection.ts";

/** bytes handed to the channel at once */
const pieceBytes = 256 * 2 ** 10;

/** Sends the contents of a job's files and its stdin text. That the worker no longer wants them, or is gone, is no failure. */
export async function sendInputs(
  context: HubContext,
  connection: WorkerConnection,
  job: HeldJob,
): Promise<void> {
  const inputs = (await context.store.jobs.inputs(job.jobId)) ?? new Uint8Array();
  try {
    const stream = connection.channel.open({ kind: "inputs", ...job.lease });
    stream.finished.catch(() => undefined);
    for (let at = 0; at < inputs.length; at += pieceBytes) {
      await abortable(stream.write(inputs.subarray(at, at + pieceBytes)), job.ended);
    }
    stream.end();
  } catch (error) {
    if (!isError(error, "stream_reset", "channel_closed") && !job.ended.aborted) throw error;
    connection.log.debug({ jobId: job.jobId, err: error }, "inputs not wanted any more");
  }
}

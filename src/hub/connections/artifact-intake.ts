import { ChunkQueue } from "../../async/index.ts";
import type { IncomingStream } from "../../channel/index.ts";
import { isError, SallyportError } from "../../errors.ts";
import type { WorkerStream } from "../../protocol/index.ts";
import type { HubContext } from "./context.ts";
import type { HeldJob } from "./held-job.ts";
import { refOf } from "./registry.ts";
import { supersededError, tellSuperseded } from "./superseded.ts";
import type { WorkerConnection } from "./worker-connection.ts";

export type ArtifactStream = IncomingStream<Extract<WorkerStream, { kind: "artifact" }>>;

/** bytes put into the store at once, well inside the stream's window */
const partBytes = 256 * 2 ** 10;

/** Keeps one artifact; `finish` means that all of it is on disk. What goes wrong resets the stream with the reason. */
export async function takeArtifact(
  context: HubContext,
  connection: WorkerConnection,
  stream: ArtifactStream,
): Promise<void> {
  const lease = refOf(stream.meta);
  const held = connection.heldUnder(lease);
  try {
    if (held === undefined) throw supersededError(lease);
    checkWanted(held, stream);
    await keep(context, held, stream);
    stream.finish();
  } catch (error) {
    const reason = SallyportError.from(error);
    stream.reset(reason);
    if (reason.code === "lease_superseded") tellSuperseded(context, connection, lease, "artifact");
    else if (!isError(error, "stream_reset", "channel_closed")) {
      connection.log.warn({ jobId: lease.lease, path: stream.meta.path, err: error }, "artifact refused");
    }
  }
}

/** A worker sends what the job asked for, and no more than the profile allows. */
function checkWanted(held: HeldJob, stream: ArtifactStream): void {
  const { path, size } = stream.meta;
  const { artifacts, artifactBytes } = held.spec;
  if (!artifacts.includes(path)) throw violation(path, "the job did not ask for it");
  if (size > artifactBytes) throw violation(path, `${size} bytes, the job may keep ${artifactBytes}`);
}

async function keep(context: HubContext, held: HeldJob, stream: ArtifactStream): Promise<void> {
  const { path, size } = stream.meta;
  let offset = 0;
  const waiting = new ChunkQueue();
  let waitingBytes = 0;
  const put = async (): Promise<void> => {
    const bytes = Buffer.concat(waiting.takeAll());
    const part = { path, offset, bytes, complete: offset + bytes.length === size };
    waitingBytes = 0;
    const fenced = await held.record(() => context.store.log.putArtifact(held.lease, part));
    if (fenced === "superseded") throw supersededError(held.lease);
    offset += bytes.length;
    stream.grant(bytes.length);
  };
  for await (const chunk of stream.chunks) {
    if (offset + waitingBytes + chunk.length > size) throw violation(path, `carries more than ${size} bytes`);
    waiting.push(chunk);
    waitingBytes += chunk.length;
    if (waitingBytes >= partBytes) await put();
  }
  if (waitingBytes > 0 || size === 0) await put();
  if (offset !== size) throw violation(path, `ended after ${offset} of ${size} bytes`);
}

function violation(path: string, reason: string): SallyportError {
  return new SallyportError("protocol_violation", `artifact ${path}: ${reason}`, { details: { path } });
}

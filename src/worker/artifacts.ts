/** Takes the files a job named out of its sandbox to the hub; regular files only, within the job's bound. */
import { abortable } from "../async/index.ts";
import { isError, SallyportError } from "../errors.ts";
import type { Artifact, LeaseRef } from "../protocol/index.ts";
import type { GuestFiles } from "../sandbox/index.ts";
import type { WorkerChannel } from "../channel/index.ts";
import type { Uplink } from "../uplink/index.ts";

export interface ArtifactOrder {
  ref: LeaseRef;
  paths: readonly string[];
  /** bytes of all of them together */
  limit: number;
}

/**
 * One entry per path, in order; what could not be had, also because `signal` fired, is told in its entry. A channel that breaks is
 * waited for and the file sent again. Never rejects.
 */
export async function collectArtifacts(
  deps: { files: GuestFiles; uplink: Uplink },
  order: ArtifactOrder,
  signal: AbortSignal,
): Promise<Artifact[]> {
  const entries: Artifact[] = [];
  let left = order.limit;
  for (const path of order.paths) {
    const entry = await collectOne(deps, { ref: order.ref, path, left }, signal);
    left -= entry.size ?? 0;
    entries.push(entry);
  }
  return entries;
}

/** Entries for artifacts nobody could collect. */
export function withoutArtifacts(paths: readonly string[], error: SallyportError): Artifact[] {
  return paths.map((path) => ({ path, error: error.toWire() }));
}

const kinds = { directory: "a folder", link: "a link", other: "a pipe, socket or device" };

interface OneFile {
  ref: LeaseRef;
  path: string;
  left: number;
}

async function collectOne(
  deps: { files: GuestFiles; uplink: Uplink },
  file: OneFile,
  signal: AbortSignal,
): Promise<Artifact> {
  const { path } = file;
  try {
    const size = await sizeOf(deps.files, file, signal);
    await deliver(deps, { ...file, size }, signal);
    return { path, size };
  } catch (error) {
    const told = isError(error, "stream_reset") && isError(error.cause) ? error.cause : error;
    return { path, error: SallyportError.from(told).toWire() };
  }
}

async function sizeOf(files: GuestFiles, { path, left }: OneFile, signal: AbortSignal): Promise<number> {
  const stat = await abortable(files.stat(path), signal);
  if (stat.type !== "file") {
    throw new SallyportError(
      "file_refused",
      `artifact ${path}: it is ${kinds[stat.type]}, only files are taken`,
      {
        details: { path },
      },
    );
  }
  if (stat.size > left) {
    throw new SallyportError(
      "limit_exceeds_profile",
      `artifact ${path}: ${stat.size} bytes, ${left} bytes are left for artifacts`,
      { details: { path } },
    );
  }
  return stat.size;
}

type SizedFile = OneFile & { size: number };

async function deliver(
  deps: { files: GuestFiles; uplink: Uplink },
  file: SizedFile,
  signal: AbortSignal,
): Promise<void> {
  let channel: WorkerChannel | undefined;
  for (;;) {
    channel = await deps.uplink.after(channel, signal);
    try {
      await send(deps.files, file, channel, signal);
      return;
    } catch (error) {
      if (!isError(error, "channel_closed")) throw error;
    }
  }
}

async function send(
  files: GuestFiles,
  { ref, path, size }: SizedFile,
  channel: WorkerChannel,
  signal: AbortSignal,
): Promise<void> {
  const stream = channel.open({ kind: "artifact", ...ref, path, size });
  stream.finished.catch(() => undefined);
  try {
    let sent = 0;
    for await (const bytes of files.get(path, size)) {
      sent += bytes.length;
      await abortable(stream.write(bytes), signal);
    }
    if (sent !== size) {
      throw new SallyportError("file_refused", `artifact ${path}: changed while it was read`, {
        details: { path },
      });
    }
    stream.end();
    await abortable(stream.finished, signal);
  } catch (error) {
    stream.reset(SallyportError.from(error));
    throw error;
  }
}

/** Making a sandbox, as a transaction: whatever fails or is aborted on the way, nothing is left behind. */
import { randomUUID } from "node:crypto";
import type { Duplex } from "node:stream";
import type { ContainerCreateOptions } from "dockerode";
import { abortable } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { Guest, GuestLink, SandboxSpec } from "../contract.ts";
import { connectGuest } from "../guest/index.ts";
import { createLink } from "./attach.ts";
import type { Engine } from "./engine.ts";
import { callMs, engineCall, statusOf } from "./errors.ts";
import type { EngineEvents, Fate } from "./events.ts";
import { removeContainer } from "./remove.ts";
import { DockerSandbox } from "./sandbox.ts";
import type { Unanswered } from "./unanswered.ts";

export interface CreateDeps {
  engine: Engine;
  events: EngineEvents;
  unanswered: Unanswered;
  log: Log;
}

export interface CreateRequest {
  spec: SandboxSpec;
  body: ContainerCreateOptions;
  signal: AbortSignal | undefined;
}

export async function createSandbox(deps: CreateDeps, request: CreateRequest): Promise<DockerSandbox> {
  const { engine, events, log } = deps;
  const { spec, signal, body } = request;
  await events.ready(signal);
  await using undo = new AsyncDisposableStack();
  // a name known beforehand, so that a container whose creation was never answered can be removed too
  const name = `sallyport-${randomUUID()}`;
  undo.defer(() => removeQuietly(deps, name));
  const id = await makeContainer(deps, name, body);
  const fate = events.track(id);
  undo.defer(() => events.forget(id));
  signal?.throwIfAborted();
  const link = createLink(await attach(engine, id, signal));
  undo.defer(() => void link.stream.destroy());
  const guest = await startAndMeet({ engine, id, link, fate, signal });
  undo.move();
  const release = (): void => events.forget(id);
  return new DockerSandbox({ engine, log, fate, link, guest, release }, { id, profile: spec.profile });
}

/** Not aborted half-way: only an answered creation is known to be there to remove. */
async function makeContainer(
  { engine, unanswered }: CreateDeps,
  name: string,
  body: ContainerCreateOptions,
): Promise<string> {
  // the library would write the whole body into the query as well
  const call = { _query: { name }, _body: body, abortSignal: AbortSignal.timeout(callMs) };
  const created = engine.docker.createContainer(call as ContainerCreateOptions).catch((error: unknown) => {
    if (statusOf(error) === undefined) unanswered.watch(name);
    throw error;
  });
  return (await engineCall({ operation: "create", subject: name }, created)).id;
}

/** Before the start, so that no byte of the guest is missed. */
async function attach(engine: Engine, id: string, signal: AbortSignal | undefined): Promise<Duplex> {
  const options = { stream: true, stdin: true, stdout: true, stderr: true, hijack: true } as const;
  const attaching = engine.docker.getContainer(id).attach(options) as Promise<Duplex>;
  try {
    return await abortable(engineCall({ operation: "attach", subject: id }, attaching), signal);
  } catch (error) {
    attaching.then((socket) => socket.destroy()).catch(() => undefined);
    throw error;
  }
}

interface Newborn {
  engine: Engine;
  id: string;
  link: GuestLink;
  fate: Fate;
  signal: AbortSignal | undefined;
}

/**
 * The guest's hello proves the start before the engine has finished answering it, so only a failed start is waited for.
 */
async function startAndMeet(newborn: Newborn): Promise<Guest> {
  const { engine, id, link, signal } = newborn;
  const started = engineCall({ operation: "start", subject: id }, engine.docker.getContainer(id).start());
  try {
    return await connectGuest(link, { started, ...(signal !== undefined && { signal }) });
  } catch (error) {
    // a failed start explains a silent guest, not the other way round
    await abortable(started, signal);
    throw silentGuest(newborn, error);
  }
}

function silentGuest({ id, link, fate }: Newborn, error: unknown): SallyportError {
  const said = link.diagnostics().trim();
  const ended = fate.exitCode === null ? "" : `, it ended with code ${fate.exitCode}`;
  const cause = error instanceof Error ? error.message : String(error);
  const words = said === "" ? "" : `; ${said.split("\n").at(-1)}`;
  return new SallyportError(
    "sandbox_lost",
    `start ${id}: the guest did not answer (${cause}${ended}${words})`,
    {
      details: { diagnostics: said, fix: "run sallyport doctor" },
      cause: error,
    },
  );
}

async function removeQuietly({ engine, log }: CreateDeps, name: string): Promise<void> {
  try {
    await removeContainer(engine, { container: name });
  } catch (error) {
    log.error({ sandbox: name, err: error }, "sandbox not removed after a failed creation");
  }
}

/** One lease to one outcome: a sandbox, the job's files, one command, what it prints, what it leaves, how it ended. */
import { abortable, deadlineSignal, linkSignals, maxTimerMs, withDeadline } from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import type { McpGrant } from "../protocol/index.ts";
import type { Exec, Sandbox } from "../sandbox/index.ts";
import { collectArtifacts, withoutArtifacts } from "./artifacts.ts";
import { boundsOf, type Bounds } from "./bounds.ts";
import type { WorkerTimes } from "./contract.ts";
import { carryOut, commandEnd, lostError, outputEnd, type CommandEnd } from "./exec-end.ts";
import type { Outcome } from "./exit-report.ts";
import type { Heartbeat } from "./heartbeat.ts";
import { closeNetwork, openNetwork, type JobNetwork } from "./job-network.ts";
import { programOf } from "./languages.ts";
import type { Lease } from "./leases.ts";
import { grantsOf, type SandboxNetwork } from "./network.ts";
import { OutputPump } from "./output-pump.ts";
import { feedStdin } from "./prepare-inputs.ts";
import type { HeldSandbox, SandboxSource } from "./sandboxes.ts";
import { StartBound, type Bound } from "./start-bound.ts";
import { startCommand } from "./start-command.ts";
import { StdinText } from "./stdin-text.ts";
import { stopError } from "./stop.ts";
import type { Uplink } from "../uplink/index.ts";
import { verdict, type EndVerdict, type Evidence } from "./verdict.ts";

export interface RunnerDeps {
  sandboxes: SandboxSource;
  network: SandboxNetwork | undefined;
  uplink: Uplink;
  /** What the hub wants, and whether the leases are this worker's still */
  heartbeat: Pick<Heartbeat, "intervals" | "renewed">;
}

export interface RunnerOptions {
  times: WorkerTimes;
  /** Folder for input that does not fit memory */
  spoolDir: string;
}

/** How far an attempt got. */
interface Attempt {
  lease: Lease;
  bounds: Bounds;
  held: HeldSandbox | undefined;
  /** the guest was asked to start the command: from here on it may have run */
  asked: boolean;
}

interface Command {
  lease: Lease;
  bounds: Bounds;
  sandbox: Sandbox;
  warm: boolean;
  exec: Exec;
  network: JobNetwork;
  pump: OutputPump;
  /** monotonic `ms` */
  startedAt: number;
}

const nothingUsed = { cpuMs: 0, maxRssBytes: 0 };
const nothingPrinted = { stdoutBytes: 0, stderrBytes: 0, truncated: false };

export class JobRunner {
  readonly #deps: RunnerDeps;
  readonly #options: RunnerOptions;

  constructor(deps: RunnerDeps, options: RunnerOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /**
   * Never rejects. The sandbox is put on `kept`, whose owner removes it once the outcome is on its way; `onWay` is disposed once
   * the command runs or never will.
   */
  async run(lease: Lease, kept: AsyncDisposableStack, onWay: Disposable): Promise<Outcome> {
    const attempt: Attempt = {
      lease,
      bounds: boundsOf(lease.spec, lease.profile),
      held: undefined,
      asked: false,
    };
    let command: Command;
    try {
      command = await this.#start(attempt, kept);
    } catch (error) {
      return this.#notStarted(attempt, SallyportError.from(error));
    } finally {
      onWay[Symbol.dispose]();
    }
    return await this.#attend(command);
  }

  /** What a lease comes to whose command was never asked for. */
  neverStarted(lease: Lease, error: unknown): Outcome {
    return this.#notStarted(
      { lease, bounds: boundsOf(lease.spec, lease.profile), held: undefined, asked: false },
      SallyportError.from(error),
    );
  }

  /** What a lease comes to that we failed to serve: an end must be told, or the lease would be renewed for ever. */
  broken(lease: Lease, error: unknown): Outcome {
    const bounds = boundsOf(lease.spec, lease.profile);
    return this.#notStarted({ lease, bounds, held: undefined, asked: true }, SallyportError.from(error));
  }

  async #start(attempt: Attempt, kept: AsyncDisposableStack): Promise<Command> {
    const { lease, bounds } = attempt;
    const { spec, profile } = lease;
    using bound = new StartBound(this.#options.times.startMs, lease.stop.soft);
    const { signal } = bound;
    const program = programOf(spec, profile);
    const grants = grantsOf(spec, profile, this.#deps.network);
    attempt.held = await this.#acquire(lease, grants, kept, bound);
    const { sandbox, warm } = attempt.held;
    const network = await this.#attach({ lease, sandbox, grants }, kept, signal);
    const text = this.#stdinText(lease, kept);
    const asking = (): void => {
      attempt.asked = true;
    };
    const start = { lease, program, text, asking, checkHeld: () => this.#checkHeld(lease) };
    const exec = await startCommand(attempt.held, start, signal);
    return this.#started({ lease, bounds, sandbox, warm, network, exec }, text);
  }

  /** A process that stood still learns it here first: its timers come later. */
  #checkHeld(lease: Lease): void {
    if (!this.#deps.heartbeat.renewed) lease.stop.request("cut_off", 0);
  }

  /** A create that ignores its signal costs the job nothing; what it still makes is removed. */
  async #acquire(
    lease: Lease,
    grants: readonly McpGrant[],
    kept: AsyncDisposableStack,
    bound: Bound,
  ): Promise<HeldSandbox> {
    const { profile, ref } = lease;
    const hosts = grants.map(({ host }) => host);
    const making = this.#deps.sandboxes.acquire(profile, ref.lease, hosts, bound);
    kept.defer(async () => {
      const removed = making.then(
        (held) => held[Symbol.asyncDispose](),
        () => undefined,
      );
      await withDeadline(removed, 2 * this.#options.times.cleanUpMs, "removing a sandbox").catch(
        (error: unknown) => lease.log.warn({ err: error }, "a sandbox is still being made"),
      );
    });
    return await abortable(making, bound.signal);
  }

  async #attach(
    job: { lease: Lease; sandbox: Sandbox; grants: readonly McpGrant[] },
    kept: AsyncDisposableStack,
    signal: AbortSignal,
  ): Promise<JobNetwork> {
    const opening = openNetwork(this.#deps.network, job);
    kept.defer(() => closeNetwork(opening, job.lease, this.#options.times.settleMs));
    return await abortable(opening, signal);
  }

  #started(parts: Omit<Command, "pump" | "startedAt">, stdin: StdinText | undefined): Command {
    const { lease, bounds, exec } = parts;
    const at = Date.now();
    lease.startedAt = at;
    this.#deps.uplink.send({ type: "lease.started", ...lease.ref, at });
    const pump = new OutputPump(
      { spool: lease.spool },
      { limit: bounds.outputBytes, onLimit: () => lease.stop.request("output_limit", 0) },
    );
    pump.start(exec, at);
    parts.network.tellTo((event) => pump.note(event));
    this.#feed(lease, exec, stdin);
    lease.log.debug("command started");
    return { ...parts, pump, startedAt: performance.now() };
  }

  #stdinText(lease: Lease, kept: AsyncDisposableStack): StdinText | undefined {
    const { stdin } = lease.spec;
    if (stdin.mode !== "text") return undefined;
    return kept.use(new StdinText({ size: stdin.size, directory: this.#options.spoolDir }));
  }

  /** Input that breaks off must not look like its end to the program. */
  #feed(lease: Lease, exec: Exec, text: StdinText | undefined): void {
    if (lease.spec.stdin.mode === "none") return;
    const chunks = text?.chunks() ?? lease.stdin.bytes(lease.stop.soft);
    feedStdin(exec, chunks).catch((error: unknown) => {
      if (lease.stop.actions.length > 0) return;
      lease.log.warn({ err: error }, "standard input broke off");
      lease.stop.request("input_lost", 0);
    });
  }

  async #attend(command: Command): Promise<Outcome> {
    const { lease, exec, sandbox, network, pump, startedAt } = command;
    const { times } = this.#options;
    const timer = setTimeout(
      () => lease.stop.request("timeout", this.#deps.heartbeat.intervals.graceMs),
      Math.min(command.bounds.timeoutMs, maxTimerMs),
    );
    carryOut(lease.stop, exec);
    const end = await commandEnd(exec, sandbox, lease.stop, times.settleMs);
    const runMs = performance.now() - startedAt;
    clearTimeout(timer);
    lease.stdin.close(() => new SallyportError("stdin_closed", "the command is over"));
    const [oom] = await Promise.all([
      memoryRanOut(sandbox, times.settleMs),
      outputEnd(pump, exec, lease.stop, times),
      closeNetwork(Promise.resolve(network), lease, times.settleMs),
    ]);
    await abortable(pump.noted(), lease.stop.dropped).catch(() => pump.abandon());
    const ended = verdict({
      started: true,
      actions: lease.stop.actions,
      exit: end.exit,
      sandbox: end.sandbox,
      oom,
    });
    const error = errorOf(ended, end, lease);
    if (ended.reason === "sandbox_lost") lease.log.warn({ err: error, sandbox: sandbox.id }, "sandbox lost");
    const artifacts = await this.#artifacts(command, ended);
    return {
      ...ended,
      timings: { startMs: startedAt - lease.acceptedAt, runMs, warm: command.warm },
      usage: end.exit?.usage ?? nothingUsed,
      output: pump.counts,
      artifacts,
      calls: network.calls,
      error: error?.toWire() ?? null,
    };
  }

  async #artifacts({ lease, bounds, sandbox }: Command, ended: EndVerdict): Promise<Outcome["artifacts"]> {
    const { artifacts: paths } = lease.spec;
    if (paths.length === 0) return [];
    if (["cancelled", "sandbox_lost", "worker_lost"].includes(ended.reason))
      return withoutArtifacts(paths, new SallyportError("cancelled", "the command did not come to its end"));
    using deadline = deadlineSignal(this.#options.times.artifactsMs, "collecting artifacts");
    using either = linkSignals(lease.stop.dropped, deadline.signal);
    const deps = { files: sandbox.guest.files, uplink: this.#deps.uplink };
    return await collectArtifacts(
      deps,
      { ref: lease.ref, paths, limit: bounds.artifactBytes },
      either.signal,
    );
  }

  /** A refusal of the guest proves that nothing ran; a conversation that broke off after the command was asked for does not. */
  #notStarted({ lease, held, asked }: Attempt, error: SallyportError): Outcome {
    const refused = ["invalid", "not_found", "exhausted"].includes(error.class);
    const evidence: Evidence = {
      started: asked && !refused,
      actions: lease.stop.actions,
      exit: null,
      sandbox: null,
      oom: false,
    };
    const ended = verdict(evidence);
    return {
      ...ended,
      timings: { startMs: performance.now() - lease.acceptedAt, runMs: 0, warm: held?.warm ?? false },
      usage: nothingUsed,
      output: nothingPrinted,
      artifacts: withoutArtifacts(lease.spec.artifacts, error),
      calls: 0,
      error: ended.reason === "cancelled" || ended.reason === "timeout" ? null : error.toWire(),
    };
  }
}

async function memoryRanOut(sandbox: Sandbox, boundMs: number): Promise<boolean> {
  try {
    return await withDeadline(sandbox.memoryRanOut(), boundMs, "asking for memory");
  } catch {
    return false;
  }
}

/** What we could not do our part of; a result needs no error. */
function errorOf(ended: EndVerdict, end: CommandEnd, lease: Lease): SallyportError | undefined {
  if (ended.reason === "sandbox_lost") return lostError(end);
  const first = lease.stop.actions[0];
  if (ended.reason !== "worker_lost" || first === undefined || first === "exit_seen") return undefined;
  return stopError(first);
}

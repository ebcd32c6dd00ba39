/** Gets what a job brings into its sandbox and starts its command there: in an interpreter that waits, where one suits. */
import { abortable } from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import type { Exec } from "../sandbox/index.ts";
import type { Program } from "./languages.ts";
import type { Lease } from "./leases.ts";
import { prepareInputs } from "./prepare-inputs.ts";
import type { Handover, Interpreter } from "./pool/interpreter.ts";
import type { HeldSandbox } from "./sandboxes.ts";
import type { StdinText } from "./stdin-text.ts";

export interface CommandStart {
  lease: Lease;
  program: Program;
  /** Gets the text for standard input, where the job has one */
  text: StdinText | undefined;
  /** Stops the lease when nothing may be started under it any more */
  checkHeld: () => void;
  /** Called when the command may begin to run */
  asking: () => void;
}

/** bytes of a program that an interpreter is handed and writes into its empty workspace itself */
const handedBytes = 64 * 2 ** 10;

/** Makes everything ready while the acceptance is on its way to the hub. Throws what the inputs, the guest and the signal throw. */
export async function startCommand(
  held: HeldSandbox,
  { lease, program, text, checkHeld, asking }: CommandStart,
  signal: AbortSignal,
): Promise<Exec> {
  const { spec, profile } = lease;
  const { guest } = held.sandbox;
  const waiting = interpreterFor(held, { lease, program });
  const handed =
    waiting !== undefined && spec.files.length === 0 && (program.source?.bytes.length ?? 0) <= handedBytes;
  const put = handed ? { ...program, source: null } : program;
  const inputs = lease.inputs.bytes(signal);
  await abortable(prepareInputs(guest.files, { spec, program: put }, inputs, text), signal);
  lease.inputs.close(() => new SallyportError("stdin_closed", "the inputs are all here"));
  await abortable(lease.confirmed, signal);
  checkHeld();
  signal.throwIfAborted();
  const stdin = spec.stdin.mode !== "none";
  if (waiting !== undefined) {
    const job = { source: handed ? program.source : null, env: spec.env, stdin };
    return await handOver(waiting, job, asking, signal);
  }
  asking();
  const env = { ...held.env, ...program.env, ...profile.env, ...spec.env };
  const exec = { argv: program.argv, env, cwd: "/workspace", stdin: stdin ? "pipe" : "none" } as const;
  return await abortable(guest.exec(exec), signal);
}

/** An interpreter that could not be told runs nothing; one that was left while it was told may. */
async function handOver(
  waiting: Interpreter,
  job: Handover,
  asking: () => void,
  signal: AbortSignal,
): Promise<Exec> {
  try {
    const exec = await abortable(waiting.begin(job), signal);
    asking();
    return exec;
  } catch (error) {
    if (signal.aborted) asking();
    throw error;
  }
}

/** What waits for another language, or cannot serve this job, is ended before the job could meet it. */
function interpreterFor(
  { interpreters }: HeldSandbox,
  { lease, program }: Pick<CommandStart, "lease" | "program">,
): Interpreter | undefined {
  let chosen: Interpreter | undefined;
  for (const [language, interpreter] of interpreters) {
    if (language === program.source?.language && interpreter.suits(lease.spec)) chosen = interpreter;
    else interpreter.discard();
  }
  return chosen;
}

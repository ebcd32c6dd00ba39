/** A driver under a witness: what it makes, removes and starts goes into the ledger. The fake one runs one program, `stream`. */
import { deferred, sleep } from "../../src/async/index.ts";
import { SallyportError } from "../../src/errors.ts";
import {
  createFakeDriver,
  type Driver,
  type Exec,
  type ExecExit,
  type ExecSpec,
  type Guest,
  type OutputChunk,
  type Sandbox,
} from "../../src/sandbox/index.ts";
import { knownBytes, stderrSeed } from "./known-bytes.ts";
import type { Ledger } from "./ledger.ts";

/** The grant under which this process was last offered a job */
export type GrantOf = (job: string) => { attempt: number; epoch: number };

interface Witness {
  ledger: Ledger;
  grantOf: GrantOf;
}

/** Starts a command in a sandbox. */
type Starter = (sandbox: Sandbox, spec: ExecSpec) => Promise<Exec>;

/** `createMs`: how long making a sandbox takes */
export function createStreamDriver(witness: Witness, createMs: number): Driver {
  const starter: Starter = async (sandbox, spec) => {
    const exec = new StreamExec(spec);
    void sandbox.ended.then(() => exec.lose());
    return exec;
  };
  return witnessed(createFakeDriver({ faults: { createMs } }), witness, starter);
}

export function createWitnessDriver(driver: Driver, witness: Witness): Driver {
  return witnessed(driver, witness, (sandbox, spec) => sandbox.guest.exec(spec));
}

function witnessed(driver: Driver, witness: Witness, starter: Starter): Driver {
  return {
    name: driver.name,
    probe: (signal) => driver.probe(signal),
    prepare: (profile, signal) => driver.prepare(profile, signal),
    create: async (spec, signal) =>
      watched(await driver.create(spec, signal), { ...witness, job: spec.lease, starter }),
    list: () => driver.list(),
    reap: (graceMs) => driver.reap(graceMs),
    [Symbol.asyncDispose]: () => driver[Symbol.asyncDispose](),
  };
}

interface Watch extends Witness {
  job: string;
  starter: Starter;
}

function watched(sandbox: Sandbox, watch: Watch): Sandbox {
  const { job, ledger } = watch;
  ledger.write({ type: "made", job, sandbox: sandbox.id });
  void sandbox.ended.then(() => ledger.write({ type: "removed", job, sandbox: sandbox.id }));
  const guest: Guest = new Proxy(sandbox.guest, {
    get: (target, key) =>
      key === "exec" ? (spec: ExecSpec) => start(sandbox, spec, watch) : bound(target, key),
  });
  return new Proxy(sandbox, {
    get: (target, key) => (key === "guest" ? guest : bound(target, key)),
  });
}

/** Private members want their own object as `this`. */
function bound(target: object, key: PropertyKey): unknown {
  const member: unknown = Reflect.get(target, key, target);
  return typeof member === "function" ? (member.bind(target) as unknown) : member;
}

async function start(sandbox: Sandbox, spec: ExecSpec, watch: Watch): Promise<Exec> {
  const { job, ledger, grantOf, starter } = watch;
  const grant = grantOf(job);
  const ended = (): void => ledger.write({ type: "end", job, ...grant });
  ledger.write({ type: "start", job, ...grant });
  try {
    const exec = await starter(sandbox, spec);
    exec.exit.then(ended, ended);
    return exec;
  } catch (error) {
    ended();
    throw error;
  }
}

const blockBytes = 8 * 1024;

class StreamExec implements Exec {
  readonly id = 1;
  readonly output: AsyncIterable<OutputChunk>;
  readonly stdin = { write: async () => undefined, end: () => undefined };
  readonly #exit = deferred<ExecExit>();
  readonly #stop = new AbortController();

  constructor({ argv }: ExecSpec) {
    const [seed = 0, bytes = 0, ms = 0, code = 0] = argv.slice(1).map(Number);
    this.#exit.promise.catch(() => undefined);
    this.output = this.#print({ seed, bytes, ms, code });
  }

  get exit(): Promise<ExecExit> {
    return this.#exit.promise;
  }

  signal(name: string): void {
    this.#end({ exitCode: null, signal: name });
  }

  killTree(): void {
    this.signal("SIGKILL");
  }

  resize(): void {
    // nothing here looks at its terminal
  }

  lose(): void {
    if (this.#exit.settled) return;
    this.#exit.reject(new SallyportError("sandbox_lost", "exec: the sandbox is gone"));
    this.#stop.abort();
  }

  async *#print(plan: {
    seed: number;
    bytes: number;
    ms: number;
    code: number;
  }): AsyncGenerator<OutputChunk> {
    const { seed, bytes, ms, code } = plan;
    const blocks = Math.max(1, Math.ceil(bytes / blockBytes));
    for (let block = 0; block < blocks && !this.#stop.signal.aborted; block += 1) {
      const from = block * blockBytes;
      const length = Math.min(blockBytes, bytes - from);
      if (length > 0) yield { stream: "stdout", bytes: knownBytes(seed, from, length) };
      const quarter = Math.floor(length / 4);
      if (quarter > 0 && !this.#stop.signal.aborted)
        yield { stream: "stderr", bytes: knownBytes(stderrSeed(seed), block * (blockBytes / 4), quarter) };
      await sleep(ms / blocks, this.#stop.signal).catch(() => undefined);
    }
    this.#end({ exitCode: code, signal: null });
  }

  #end(end: { exitCode: number | null; signal: string | null }): void {
    if (this.#exit.settled) return;
    this.#exit.resolve({ ...end, usage: { cpuMs: 0, maxRssBytes: 0 } });
    this.#stop.abort();
  }
}

/** One run of a built-in program. */
import { SallyportError } from "../../errors.ts";
import { deferred } from "../../async/index.ts";
import type { Exec, ExecExit, ExecSpec, ExecStdin, OutputChunk, OutputStream } from "../contract.ts";
import type { FakeFiles } from "./files.ts";
import { Pipe } from "./pipe.ts";
import type { Program, ProgramEnd, ProgramIo } from "./programs.ts";

export interface ExecParts {
  id: number;
  program: Program;
  spec: ExecSpec;
  files: FakeFiles;
  runOutOfMemory: () => void;
}

const windowBytes = 256 * 1024;

export class FakeExec implements Exec {
  readonly id: number;
  readonly stdin: ExecStdin;
  readonly #program: Program;
  readonly #output = new Pipe<OutputChunk>(windowBytes, ({ bytes }) => bytes.length);
  readonly #input = new Pipe<Uint8Array>(windowBytes, (bytes) => bytes.length);
  readonly #exit = deferred<ExecExit>();
  readonly #stop = new AbortController();

  constructor(parts: ExecParts) {
    this.id = parts.id;
    this.#program = parts.program;
    this.stdin = { write: (bytes) => this.#feed(bytes), end: () => this.#input.end() };
    if (parts.spec.stdin === "none") this.#input.end();
    void this.#run(parts);
  }

  get output(): AsyncIterable<OutputChunk> {
    return this.#output.read();
  }

  get exit(): Promise<ExecExit> {
    return this.#exit.promise;
  }

  signal(name: Parameters<Exec["signal"]>[0]): void {
    if (name === "SIGKILL" || this.#program.stubborn !== true) this.#finish({ exitCode: null, signal: name });
  }

  killTree(): void {
    this.signal("SIGKILL");
  }

  resize(): void {
    // no program here looks at its terminal
  }

  /** The sandbox went away under it. */
  lose(): void {
    if (this.#exit.settled) return;
    const error = new SallyportError("sandbox_lost", `exec ${this.id}: the sandbox is gone`);
    this.#exit.reject(error);
    this.#close(error);
  }

  async #run({ program, spec, files, runOutOfMemory }: ExecParts): Promise<void> {
    const io: ProgramIo = {
      write: (stream, bytes) => this.#write(spec.tty === undefined ? stream : "stdout", bytes),
      stdin: this.#input.read(),
      files,
      stopped: this.#stop.signal,
      runOutOfMemory,
    };
    try {
      this.#finish(await program.run(io, spec.argv.slice(1)));
    } catch (error) {
      await this.#write("stderr", Buffer.from(`${String(error)}\n`));
      this.#finish({ exitCode: 1, signal: null });
    }
  }

  #write(stream: OutputStream, bytes: Uint8Array): Promise<void> | undefined {
    return bytes.length === 0 ? undefined : this.#output.write({ stream, bytes });
  }

  async #feed(bytes: Uint8Array): Promise<void> {
    if (this.#input.ended) throw new SallyportError("stdin_closed", `exec ${this.id}: stdin is closed`);
    // the caller may use its buffer again
    await this.#input.write(bytes.slice());
  }

  #finish(end: ProgramEnd): void {
    if (this.#exit.settled) return;
    this.#exit.resolve({ ...end, usage: { cpuMs: 0, maxRssBytes: 0 } });
    this.#close();
  }

  #close(error?: Error): void {
    this.#output.end(error);
    this.#input.end();
    this.#stop.abort(null);
  }
}

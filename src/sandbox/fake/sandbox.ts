/** A sandbox that is nothing but memory: same contract, no engine and no process. */
import type { Duplex } from "node:stream";
import { deferred } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import type {
  Exec,
  ExecSpec,
  Guest,
  GuestSocket,
  Sandbox,
  SandboxEnd,
  SandboxInfo,
  SandboxStats,
} from "../contract.ts";
import type { Profile } from "../profile/index.ts";
import { FakeExec } from "./exec.ts";
import { FakeFiles } from "./files.ts";
import { FakeLoopback } from "./loopback.ts";
import { programs } from "./programs.ts";

class FakeGuest implements Guest {
  readonly files = new FakeFiles();
  readonly loopback = new FakeLoopback();
  readonly #closed = deferred<Error | undefined>();
  readonly #execs = new Set<FakeExec>();
  readonly #onClose: () => void;
  readonly #onMemory: () => void;
  #count = 0;

  constructor(onClose: () => void, onMemory: () => void) {
    this.#onClose = onClose;
    this.#onMemory = onMemory;
  }

  get closed(): Promise<Error | undefined> {
    return this.#closed.promise;
  }

  async exec(spec: ExecSpec): Promise<Exec> {
    if (this.#closed.settled) throw new SallyportError("sandbox_lost", "exec: the sandbox is gone");
    const name = spec.argv[0] ?? "";
    const program = Object.hasOwn(programs, name) ? programs[name] : undefined;
    if (program === undefined) {
      throw new SallyportError("command_not_found", `${name}: no such program`, {
        details: { known: Object.keys(programs) },
      });
    }
    this.#count += 1;
    const parts = { id: this.#count, program, spec, files: this.files, runOutOfMemory: this.#onMemory };
    const exec = new FakeExec(parts);
    this.#execs.add(exec);
    exec.exit.then(
      () => this.#execs.delete(exec),
      () => this.#execs.delete(exec),
    );
    return exec;
  }

  listen(ports: readonly number[], onConnection: (socket: GuestSocket) => void): Promise<void> {
    return this.loopback.listen(ports, onConnection);
  }

  connect(port: number): Promise<GuestSocket> {
    return this.loopback.connect(port);
  }

  killAll(): void {
    for (const exec of this.#execs) exec.killTree();
  }

  close(): void {
    if (this.#closed.settled) return;
    this.#closed.resolve(undefined);
    for (const exec of this.#execs) exec.lose();
    this.loopback.end(new SallyportError("sandbox_lost", "loopback: the sandbox is gone"));
    this.#onClose();
  }
}

export class FakeSandbox implements Sandbox {
  readonly id: string;
  readonly profile: Profile;
  readonly info: SandboxInfo;
  readonly #ended = deferred<SandboxEnd>();
  readonly #guest: FakeGuest;
  readonly #gone: () => void;
  #oom = false;

  /** `gone` is called as soon as it has ended. */
  constructor(info: SandboxInfo, profile: Profile, gone: () => void) {
    this.#gone = gone;
    this.id = info.id;
    this.info = info;
    this.profile = profile;
    this.#guest = new FakeGuest(
      () => this.end("exited"),
      () => this.runOutOfMemory(),
    );
  }

  get guest(): Guest {
    return this.#guest;
  }

  get ended(): Promise<SandboxEnd> {
    return this.#ended.promise;
  }

  /**
   * Plays a program inside that connects to `port` of its loopback, and gives the program's end of the connection. Throws
   * `upstream_unreachable` while the host does not listen there.
   */
  dial(port: number): Duplex {
    return this.#guest.loopback.dial(port);
  }

  /** Plays a program inside that listens at `port` until the result is disposed; it gets its end of each connection. */
  serve(port: number, onConnection: (socket: Duplex) => void): Disposable {
    return this.#guest.loopback.serve(port, onConnection);
  }

  async stats(): Promise<SandboxStats> {
    if (this.#ended.settled)
      throw new SallyportError("sandbox_lost", `stats ${this.id}: the sandbox is gone`);
    return { memoryBytes: 0, cpuMs: 0, pids: 1 };
  }

  async memoryRanOut(): Promise<boolean> {
    return this.#oom;
  }

  runOutOfMemory(): void {
    this.#oom = true;
  }

  /** Ends it for the reason given; the first reason stays. */
  end(by: SandboxEnd["by"]): void {
    if (this.#ended.settled) return;
    this.#ended.resolve({ by, exitCode: by === "exited" ? 0 : 137, oom: this.#oom });
    this.#gone();
    this.#guest.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.end("removed");
  }
}

import { deferred } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import type { Exec, ExecExit, ExecSpec, OutputChunk, OutputStream } from "../contract.ts";
import { guestFrames, hostFrames, violation, type Frame } from "./codec.ts";
import type { Call, GuestConnection } from "./connection.ts";
import { startError } from "./errno.ts";
import { credit, encodeExec, size } from "./messages.ts";
import { signalName, signalNumber, type SignalName } from "./signals.ts";
import { closedStdin, PipedStdin } from "./stdin.ts";
import { ReceiveWindow } from "./window.ts";

/** Output of one exec that may wait in the host for its consumer, in bytes */
const outputWindow = 1024 * 1024;

/** Asks the guest to start `spec`; resolves once the program runs, rejects when it cannot. */
export function startExec(connection: GuestConnection, spec: ExecSpec): Promise<Exec> {
  return new ExecCall(connection, spec).started;
}

class ExecCall implements Call, Exec {
  readonly id: number;
  readonly output: ReceiveWindow<OutputChunk>;
  readonly stdin: PipedStdin | typeof closedStdin;
  readonly #connection: GuestConnection;
  readonly #spec: ExecSpec;
  readonly #started = deferred<Exec>();
  readonly #exit = deferred<ExecExit>();
  readonly #open: Set<OutputStream>;
  #over = false;

  constructor(connection: GuestConnection, spec: ExecSpec) {
    this.#connection = connection;
    this.#spec = spec;
    this.#open = new Set(spec.tty === undefined ? ["stdout", "stderr"] : ["stdout"]);
    const payload = encodeExec(spec, outputWindow);
    this.id = connection.register(this);
    this.output = new ReceiveWindow({
      window: outputWindow,
      grant: (bytes) => this.#tell(hostFrames.credit, credit(bytes)),
    });
    this.stdin = spec.stdin === "pipe" ? new PipedStdin(connection, this.id) : closedStdin;
    connection.send(hostFrames.exec, this.id, payload);
  }

  get started(): Promise<Exec> {
    return this.#started.promise;
  }

  get exit(): Promise<ExecExit> {
    return this.#exit.promise;
  }

  signal(name: SignalName): void {
    this.#tell(hostFrames.signal, Buffer.of(signalNumber(name)));
  }

  killTree(): void {
    this.#tell(hostFrames.killTree);
  }

  resize(to: { cols: number; rows: number }): void {
    if (this.#spec.tty !== undefined) this.#tell(hostFrames.resize, size(to));
  }

  receive(frame: Frame): "open" | "over" {
    if (frame.type === guestFrames.failed) return this.#refused(frame.payload);
    if (frame.type === guestFrames.started) this.#begin();
    else if (!this.#started.settled) throw violation("an exec spoke before it started");
    else this.#progress(frame);
    if (this.#open.size > 0 || !this.#exit.settled) return "open";
    this.#finish();
    return "over";
  }

  fail(error: SallyportError): void {
    this.#over = true;
    this.#started.reject(error);
    this.#exit.reject(error);
    this.stdin.stop(error);
    this.output.end(error);
  }

  #begin(): void {
    if (this.#started.settled) throw violation("an exec started twice");
    this.#started.resolve(this);
  }

  #refused(payload: Buffer): "over" {
    if (this.#started.settled) throw violation("an exec failed after it started");
    this.fail(startError(this.#spec, payload.readUInt8(0), payload.readUInt32BE(1)));
    return "over";
  }

  #progress({ type, payload }: Frame): void {
    switch (type) {
      case guestFrames.stdout:
        return this.#print("stdout", payload);
      case guestFrames.stderr:
        return this.#print("stderr", payload);
      case guestFrames.eof:
        return this.#endStream(payload.readUInt8(0));
      case guestFrames.exit:
        return this.#exited(payload);
      case guestFrames.credit:
        return this.stdin.grant(payload.readUInt32BE(0));
      case guestFrames.inputClosed:
        return this.stdin.closeByReader();
      default:
        throw violation(`frame of type ${type} for an exec`);
    }
  }

  #print(stream: OutputStream, bytes: Buffer): void {
    if (!this.#open.has(stream)) throw violation(`${stream} after its end`);
    this.output.push({ stream, bytes });
  }

  #endStream(number: number): void {
    const stream: OutputStream = number === 1 ? "stdout" : "stderr";
    if (number > 2 || !this.#open.delete(stream)) throw violation("the end of a stream that is not open");
    if (this.#open.size === 0) this.output.end();
  }

  #exited(payload: Buffer): void {
    if (this.#exit.settled) throw violation("an exec ended twice");
    const kind = payload.readUInt8(0);
    const value = payload.readUInt8(1);
    const cpuUs = Number(payload.readBigUInt64BE(2));
    const maxRssBytes = Number(payload.readBigUInt64BE(10));
    const isSound = Number.isSafeInteger(cpuUs) && Number.isSafeInteger(maxRssBytes);
    if (kind > 1 || !isSound) throw violation("an exit that makes no sense");
    const usage = { cpuMs: cpuUs / 1000, maxRssBytes };
    this.#exit.resolve(
      kind === 0
        ? { exitCode: value, signal: null, usage }
        : { exitCode: null, signal: signalName(value), usage },
    );
  }

  #finish(): void {
    this.#over = true;
    this.stdin.closeByReader();
  }

  #tell(type: number, payload?: Uint8Array): void {
    if (!this.#over) this.#connection.send(type, this.id, payload);
  }
}

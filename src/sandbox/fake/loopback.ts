/** The loopback of a fake sandbox: connections between the host and whoever plays the programs inside. */
import { Duplex } from "node:stream";
import { SallyportError } from "../../errors.ts";
import type { GuestNet, GuestSocket } from "../contract.ts";
import { connectError, listenError, resetError } from "../guest/errno.ts";
import { checkPort } from "../guest/messages.ts";

type Done = (error?: Error | null) => void;
type OnConnection<Socket> = (socket: Socket) => void;

const errnos = { inUse: 98, reset: 104, refused: 111 };

/** One end of a connection, with the half-close, the reset and the back-pressure of a guest's stream. */
class LoopbackEnd extends Duplex implements GuestSocket {
  readonly port: number;
  #peer: LoopbackEnd | undefined;
  /** The peer's write that waits for room here */
  #held: Done | undefined;
  #lost = false;

  constructor(port: number) {
    super({ allowHalfOpen: true });
    this.port = port;
    this.on("error", () => undefined);
  }

  static pair(port: number): [LoopbackEnd, LoopbackEnd] {
    const [one, other] = [new LoopbackEnd(port), new LoopbackEnd(port)];
    one.#peer = other;
    other.#peer = one;
    return [one, other];
  }

  /** Both ends are destroyed with the same error. */
  lose(error: SallyportError): void {
    this.#lost = true;
    this.destroy(error);
  }

  override _read(): void {
    const held = this.#held;
    this.#held = undefined;
    held?.();
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: Done): void {
    const peer = this.#peer;
    if (peer === undefined) throw new SallyportError("internal", "an end without a peer");
    peer.#deliver(bytes, done);
  }

  override _final(done: Done): void {
    if (this.#peer?.destroyed === false) this.#peer.push(null);
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    const parted = error === null && this.writableFinished;
    this.#held?.(resetError(this.port, errnos.reset));
    if (!parted && !this.#lost) this.#peer?.destroy(resetError(this.port, errnos.reset));
    done(error);
  }

  #deliver(bytes: Buffer, done: Done): void {
    if (this.destroyed) done(resetError(this.port, errnos.reset));
    // the writer may use its buffer again
    else if (this.push(Buffer.from(bytes))) done();
    else this.#held = done;
  }
}

export class FakeLoopback implements GuestNet {
  readonly #hostPorts = new Map<number, OnConnection<GuestSocket>>();
  readonly #programPorts = new Map<number, OnConnection<Duplex>>();
  readonly #ends = new Set<LoopbackEnd>();
  #over: SallyportError | undefined;

  async listen(ports: readonly number[], onConnection: OnConnection<GuestSocket>): Promise<void> {
    this.#throwIfOver();
    ports.forEach(checkPort);
    const taken = ports.find((port) => this.#hostPorts.has(port) || this.#programPorts.has(port));
    if (taken !== undefined) throw listenError(taken, errnos.inUse);
    for (const port of ports) this.#hostPorts.set(port, onConnection);
  }

  async connect(port: number): Promise<GuestSocket> {
    return this.#join(port, this.#programPorts.get(port));
  }

  /** A program connects to a port the host listens at; throws `upstream_unreachable` when it does not. */
  dial(port: number): Duplex {
    return this.#join(port, this.#hostPorts.get(port));
  }

  /** A program listens at a port until the result is disposed. */
  serve(port: number, onConnection: OnConnection<Duplex>): Disposable {
    this.#programPorts.set(port, onConnection);
    return { [Symbol.dispose]: () => void this.#programPorts.delete(port) };
  }

  /** The sandbox went away under every connection. */
  end(error: SallyportError): void {
    this.#over = error;
    for (const end of this.#ends) end.lose(error);
  }

  #join(port: number, onConnection: OnConnection<LoopbackEnd> | undefined): LoopbackEnd {
    this.#throwIfOver();
    checkPort(port);
    if (onConnection === undefined) throw connectError(port, errnos.refused);
    const pair = LoopbackEnd.pair(port);
    for (const end of pair) {
      this.#ends.add(end);
      end.once("close", () => this.#ends.delete(end));
    }
    onConnection(pair[1]);
    return pair[0];
  }

  #throwIfOver(): void {
    if (this.#over !== undefined) throw this.#over;
  }
}

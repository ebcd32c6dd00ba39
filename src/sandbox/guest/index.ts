import { abortable, withDeadline } from "../../async/index.ts";
import type { Exec, ExecSpec, Guest, GuestLink, GuestSocket } from "../contract.ts";
import { hostFrames } from "./codec.ts";
import { GuestConnection } from "./connection.ts";
import { startExec } from "./exec.ts";
import { RemoteFiles } from "./files.ts";
import { RemoteNet } from "./net.ts";

export { encodeFrame, FrameDecoder, guestFrames, hostFrames, type Frame } from "./codec.ts";

export interface ConnectOptions {
  /** Gives up waiting for the guest's hello */
  signal?: AbortSignal;
  /** How long the guest may take to say hello, in `ms`; 10 000 by default */
  helloTimeoutMs?: number;
  /** Its time counts from here on; the guest may be quicker. When this rejects it is not waited for */
  started?: Promise<unknown>;
}

/**
 * Opens the conversation with the guest behind `link` and resolves once it has said hello. The link is destroyed when the
 * conversation ends, and when it never begins: `deadline_exceeded`, `sandbox_lost`, `guest_violation` or the signal's reason.
 */
export async function connectGuest(link: GuestLink, options: ConnectOptions = {}): Promise<Guest> {
  const connection = new GuestConnection(link);
  try {
    const { hello } = connection;
    const { signal, helloTimeoutMs = 10_000, started = Promise.resolve() } = options;
    const inTime = started.then(() => withDeadline(hello, helloTimeoutMs, "the hello of the guest"));
    await abortable(Promise.race([hello, inTime]), signal);
  } catch (error) {
    connection.close();
    throw error;
  }
  return new RemoteGuest(connection);
}

class RemoteGuest implements Guest {
  readonly files: RemoteFiles;
  readonly #connection: GuestConnection;
  readonly #net: RemoteNet;

  constructor(connection: GuestConnection) {
    this.#connection = connection;
    this.#net = new RemoteNet(connection);
    this.files = new RemoteFiles(connection);
  }

  get closed(): Promise<Error | undefined> {
    return this.#connection.closed;
  }

  async exec(spec: ExecSpec): Promise<Exec> {
    return await startExec(this.#connection, spec);
  }

  listen(ports: readonly number[], onConnection: (socket: GuestSocket) => void): Promise<void> {
    return this.#net.listen(ports, onConnection);
  }

  connect(port: number): Promise<GuestSocket> {
    return this.#net.connect(port);
  }

  killAll(): void {
    this.#connection.send(hostFrames.killAll, 0);
  }

  close(): void {
    this.#connection.close();
  }
}

import { deferred } from "../../async/index.ts";
import type { SallyportError } from "../../errors.ts";
import type { GuestNet, GuestSocket } from "../contract.ts";
import { guestFrames, hostFrames, streamWindowBytes, violation, type Frame } from "./codec.ts";
import type { Call, GuestConnection } from "./connection.ts";
import { connectError, listenError } from "./errno.ts";
import { encodePorts, readNothing } from "./messages.ts";
import { LoopbackSocket } from "./socket.ts";

/** Connections of programs that may be open at once; more wait inside */
const maxAccepted = 256;

type OnConnection = (socket: GuestSocket) => void;

/** The sandbox's loopback through its guest. */
export class RemoteNet implements GuestNet {
  readonly #connection: GuestConnection;
  readonly #listeners = new Map<number, OnConnection>();
  #accepted = 0;

  constructor(connection: GuestConnection) {
    this.#connection = connection;
    connection.onAccepted((id, port) => this.#accept(id, port));
  }

  async listen(ports: readonly number[], onConnection: OnConnection): Promise<void> {
    if (ports.length === 0) return;
    const listening = (): void => ports.forEach((port) => this.#listeners.set(port, onConnection));
    await new ListenCall(this.#connection, ports, listening).answer;
  }

  async connect(port: number): Promise<GuestSocket> {
    return await new ConnectCall(this.#connection, port).answer;
  }

  #accept(id: number, port: number): Call {
    const onConnection = this.#listeners.get(port);
    if (onConnection === undefined) throw violation(`a connection at port ${port}, which is not listened at`);
    if (this.#accepted === maxAccepted) throw violation("more connections than may be open");
    this.#accepted += 1;
    const gone = (): void => void (this.#accepted -= 1);
    const socket = new LoopbackSocket({ connection: this.#connection, id, port, gone });
    onConnection(socket);
    return socket;
  }
}

class ListenCall implements Call {
  readonly #answer = deferred<void>();
  readonly #ports: readonly number[];
  readonly #listening: () => void;

  /** `listening` is called before any frame that follows the answer is read. */
  constructor(connection: GuestConnection, ports: readonly number[], listening: () => void) {
    this.#ports = ports;
    this.#listening = listening;
    const payload = encodePorts(ports, streamWindowBytes);
    connection.send(hostFrames.listen, connection.register(this), payload);
  }

  get answer(): Promise<void> {
    return this.#answer.promise;
  }

  receive({ type, payload }: Frame): "over" {
    if (type === guestFrames.done) {
      readNothing(payload);
      this.#listening();
      this.#answer.resolve();
    } else if (type === guestFrames.failed) {
      const port = this.#ports[payload.readUInt8(0)];
      if (port === undefined) throw violation("a port that failed and was not asked for");
      this.fail(listenError(port, payload.readUInt32BE(1)));
    } else {
      throw violation(`frame of type ${type} for a listen`);
    }
    return "over";
  }

  fail(error: SallyportError): void {
    this.#answer.reject(error);
  }
}

class ConnectCall implements Call {
  readonly #answer = deferred<GuestSocket>();
  readonly #connection: GuestConnection;
  readonly #id: number;
  readonly #port: number;
  #socket: LoopbackSocket | undefined;

  constructor(connection: GuestConnection, port: number) {
    this.#connection = connection;
    this.#port = port;
    const payload = encodePorts([port], streamWindowBytes);
    this.#id = connection.register(this);
    connection.send(hostFrames.connect, this.#id, payload);
  }

  get answer(): Promise<GuestSocket> {
    return this.#answer.promise;
  }

  receive(frame: Frame): "open" | "over" {
    if (this.#socket !== undefined) return this.#socket.receive(frame);
    if (frame.type === guestFrames.failed) {
      this.fail(connectError(this.#port, frame.payload.readUInt32BE(1)));
      return "over";
    }
    if (frame.type !== guestFrames.connected) throw violation(`frame of type ${frame.type} for a connect`);
    const [connection, id, port] = [this.#connection, this.#id, this.#port];
    this.#socket = new LoopbackSocket({ connection, id, port, gone: () => undefined });
    this.#answer.resolve(this.#socket);
    return "open";
  }

  fail(error: SallyportError): void {
    this.#socket?.fail(error);
    this.#answer.reject(error);
  }
}

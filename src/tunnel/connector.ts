/** A stand-alone connector: offers the routes of one tunnel to one hub, over a channel it keeps dialling. */
import { deferred } from "../async/index.ts";
import type { WorkerChannel } from "../channel/index.ts";
import { SallyportError } from "../errors.ts";
import type { Log } from "../log.ts";
import { protocolVersions, type HubMessage } from "../protocol/index.ts";
import {
  Connection,
  Uplink,
  type ConnectionTimes,
  type Greetings,
  type HubHandlers,
  type TunnelEnd,
} from "../uplink/index.ts";

type Hello = Greetings["connector"]["hello"];
type Welcome = Greetings["connector"]["welcome"];

export interface ConnectorDeps {
  /** Opens one channel to the hub; called again and again, for ever. */
  dial: (signal: AbortSignal) => Promise<WorkerChannel>;
  /** What it offers, and the way to what others do; stays the caller's to dispose */
  end: TunnelEnd;
  log: Log;
}

export interface ConnectorOptions {
  /** Stable over restarts */
  connectorId: string;
  /** Differs for every life of the process */
  bootId: string;
  version: string;
  times?: Partial<ConnectionTimes>;
}

export interface Connector extends AsyncDisposable {
  /** Connects and serves; resolves once it is stopped, never rejects. */
  run(): Promise<void>;
  /** Takes no further caller, and stops once those it has are done. */
  drain(): Promise<void>;
  /** Stops now: every byte stream is cut. */
  abort(reason: SallyportError): void;
  /** Calls back once, when the hub welcomed it. */
  onReady(listener: () => void): void;
}

export const connectorTimes: ConnectionTimes = {
  connectMs: 10_000,
  backoffBaseMs: 500,
  backoffCapMs: 30_000,
  stableMs: 60_000,
  farewellMs: 2_000,
};

export function createConnector(deps: ConnectorDeps, options: ConnectorOptions): Connector {
  return new DialOutConnector(deps, options);
}

class DialOutConnector implements Connector {
  readonly #end: TunnelEnd;
  readonly #log: Log;
  readonly #options: ConnectorOptions;
  readonly #uplink = new Uplink();
  readonly #connection: Connection<"connector">;
  readonly #leaving = new AbortController();
  readonly #welcomed = deferred<void>();
  #running: Promise<void> | undefined;
  #draining = false;

  constructor({ dial, end, log }: ConnectorDeps, options: ConnectorOptions) {
    this.#end = end;
    this.#options = options;
    this.#log = log.child({ connectorId: options.connectorId });
    this.#connection = new Connection(
      {
        dial,
        uplink: this.#uplink,
        log: this.#log,
        hello: () => this.#hello(),
        welcomed: (channel, welcome, { hello }) => this.#adopt(channel, welcome, hello),
        longestWaitMs: () => Number.POSITIVE_INFINITY,
        lost: () => undefined,
        quiet: (channel) => end.quiet(channel),
      },
      { ...connectorTimes, ...options.times },
    );
  }

  run(): Promise<void> {
    this.#running ??= this.#connection.run(this.#leaving.signal);
    return this.#running;
  }

  async drain(): Promise<void> {
    this.#draining = true;
    this.#tellDraining();
    await this.#end.drain();
    this.abort(new SallyportError("shutting_down", "the connector is drained"));
    await this.#running;
  }

  abort(reason: SallyportError): void {
    this.#leaving.abort(reason);
  }

  onReady(listener: () => void): void {
    void this.#welcomed.promise.then(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.abort(new SallyportError("shutting_down", "the connector is disposed"));
    await this.#running;
  }

  #hello(): Hello {
    const { connectorId, bootId, version } = this.#options;
    const protocol = { ...protocolVersions };
    return { type: "connector.hello", protocol, connectorId, bootId, version, routes: this.#end.offered() };
  }

  #adopt(channel: WorkerChannel, welcome: Welcome, hello: Hello): HubHandlers {
    this.#end.attach(channel, hello.routes);
    this.#end.told(welcome.routes);
    if (this.#draining) this.#tellDraining();
    this.#welcomed.resolve();
    return {
      message: (message) => this.#answer(message),
      stream: (stream) => this.#end.stream(channel, stream),
    };
  }

  #answer(message: HubMessage): void {
    if (message.type === "routes") this.#end.told(message.routes);
    else if (message.type === "go-away") this.#connection.replace();
    else throw new SallyportError("protocol_violation", `${message.type} is not for a connector`);
  }

  #tellDraining(): void {
    this.#uplink.send({ type: "draining", held: this.#end.active });
  }
}

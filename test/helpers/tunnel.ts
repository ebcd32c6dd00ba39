/** Connectors whose upstream is a TLS echo, and callers of it. */
import { EventEmitter } from "node:events";
import type { Duplex } from "node:stream";
import { connect as tlsConnect, createSecureContext, TLSSocket } from "node:tls";
import { deferred, withDeadline } from "../../src/async/index.ts";
import { dialChannel, workerDialect, type WorkerChannel } from "../../src/channel/index.ts";
import { makeEdgeCertificate } from "../../src/hub/edge/certificate.ts";
import { silentLog } from "../../src/log.ts";
import type { OfferedRoute } from "../../src/protocol/index.ts";
import { createConnector, type Connector, type ConnectorOptions } from "../../src/tunnel/index.ts";
import { TunnelEnd, type TunnelOffer } from "../../src/uplink/index.ts";

export function offered(host: string, over: Partial<OfferedRoute> = {}): OfferedRoute {
  const name = host.split(".")[0] ?? host;
  return { host, name, state: "up", layer: null, reason: null, checkedAt: 1_790_000_000_000, ...over };
}

/** Ends TLS and answers every chunk with itself, after its own name; keeps what it serves. */
export class EchoTunnel implements TunnelOffer {
  readonly #name: string;
  readonly #events = new EventEmitter();
  readonly #context = createSecureContext(makeEdgeCertificate());
  #routes: OfferedRoute[];
  readonly served: Duplex[] = [];
  readonly callers: string[] = [];
  readonly drained = deferred<void>();

  constructor(name: string, routes: OfferedRoute[]) {
    this.#name = name;
    this.#routes = routes;
  }

  routes(): OfferedRoute[] {
    return this.#routes;
  }

  set(routes: OfferedRoute[]): void {
    this.#routes = routes;
    this.#events.emit("change");
  }

  onChange(listener: () => void): Disposable {
    this.#events.on("change", listener);
    return { [Symbol.dispose]: () => void this.#events.off("change", listener) };
  }

  serve(bytes: Duplex, { peer }: { peer: string }): void {
    this.served.push(bytes);
    this.callers.push(peer);
    const tls = new TLSSocket(bytes, { isServer: true, secureContext: this.#context });
    tls.on("error", () => bytes.destroy());
    bytes.on("error", () => tls.destroy());
    tls.write(`${this.#name}:`);
    tls.pipe(tls);
  }

  async drain(): Promise<void> {
    await Promise.race([this.drained.promise, Promise.all(this.served.map(closed))]);
  }
}

/** Serves whoever comes with `reply`, and closes behind it without reading. */
export const hangUpAfter =
  (reply: Buffer) =>
  (bytes: Duplex): void =>
    void bytes.end(reply, () => bytes.destroy());

function closed(stream: Duplex): Promise<void> {
  return stream.closed ? Promise.resolve() : new Promise((resolve) => stream.once("close", resolve));
}

export interface TestConnectorOptions extends Partial<ConnectorOptions> {
  url: string;
  token: string | (() => string);
  offer?: TunnelOffer;
}

export class TestConnector implements AsyncDisposable {
  readonly connector: Connector;
  readonly end: TunnelEnd;
  readonly ready = deferred<void>();
  /** every channel it opened */
  readonly channels: WorkerChannel[] = [];
  readonly refusals: unknown[] = [];
  url: string;

  constructor({ url, token, offer, ...options }: TestConnectorOptions) {
    this.url = url;
    this.end = new TunnelEnd({ log: silentLog() });
    if (offer !== undefined) this.end.offer(offer);
    this.connector = createConnector(
      {
        end: this.end,
        log: silentLog(),
        dial: async (signal) => {
          try {
            const channel: WorkerChannel = await dialChannel({
              url: this.url,
              token: typeof token === "string" ? token : token(),
              dialect: workerDialect,
              log: silentLog(),
              signal,
            });
            this.channels.push(channel);
            return channel;
          } catch (error) {
            this.refusals.push(error);
            throw error;
          }
        },
      },
      {
        connectorId: "c1",
        bootId: `boot-${Math.random()}`,
        version: "0.0.0-test",
        times: { backoffBaseMs: 20, backoffCapMs: 100 },
        ...options,
      },
    );
    this.connector.onReady(() => this.ready.resolve());
    void this.connector.run();
  }

  static async start(options: TestConnectorOptions): Promise<TestConnector> {
    const connector = new TestConnector(options);
    await withDeadline(connector.ready.promise, 10_000, "the connector's welcome");
    return connector;
  }

  /** TLS over a byte stream to `host`. */
  async call(host: string, connector?: string): Promise<TLSSocket> {
    const { signal } = new AbortController();
    const bytes = await this.end.open({ host, requestId: "r1", ...(connector && { connector }) }, signal);
    return overTls(bytes, host);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.connector[Symbol.asyncDispose]();
    this.end[Symbol.dispose]();
  }
}

/** A caller's TLS, which takes any certificate: what it is about here is who carries the bytes. */
export function overTls(bytes: Duplex, host: string): TLSSocket {
  const tls = tlsConnect({ socket: bytes, servername: host, rejectUnauthorized: false });
  bytes.on("error", (error) => tls.destroy(error));
  return tls;
}

/** What comes, until it ends with `end`. */
export async function readUntil(stream: Duplex, end: string): Promise<string> {
  let text = "";
  const told = deferred<string>();
  const take = (chunk: Buffer): void => {
    text += chunk.toString("latin1");
    if (text.endsWith(end)) told.resolve(text);
  };
  const over = (error?: Error): void =>
    told.reject(error ?? new Error(`closed after ${JSON.stringify(text)}`));
  stream.on("data", take).once("error", over).once("close", over);
  try {
    return await withDeadline(told.promise, 10_000, `reading up to ${JSON.stringify(end)}`);
  } finally {
    stream.off("data", take).off("error", over).off("close", over);
    stream.on("error", () => undefined);
  }
}

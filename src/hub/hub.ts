import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { deadlineSignal } from "../async/index.ts";
import { ChannelAcceptor, hubDialect, type HubChannel } from "../channel/index.ts";
import { SallyportError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { HubMessage, HubStream, WorkerMessage, WorkerStream } from "../protocol/index.ts";
import type { Store } from "../store/index.ts";
import { createApi } from "./api/app.ts";
import type { Api } from "./api/context.ts";
import { authenticate, requireScope } from "./auth/gate.ts";
import type { Authenticator } from "./auth/authenticator.ts";
import type { Identity } from "./auth/keys.ts";
import { checkNames, type OwnNames } from "./auth/origin.ts";
import { revocationLoop } from "./auth/revocation.ts";
import type { HubContext } from "./connections/context.ts";
import { WorkerRegistry } from "./connections/registry.ts";
import { serveChannel } from "./connections/serve.ts";
import { dispatchLoop } from "./dispatch/dispatcher.ts";
import { Wake } from "./dispatch/wake.ts";
import { openEdge, type Edge } from "./edge/edge.ts";
import { expiryLoop } from "./expiry.ts";
import { Listener } from "./listener.ts";
import { LiveJobs } from "./live/live-jobs.ts";
import { HubMetrics } from "./metrics.ts";
import { neighbourLoop } from "./neighbours/hints.ts";
import { Neighbours } from "./neighbours/neighbours.ts";
import {
  advertisedName,
  advertisedUrl,
  defaultRetentionMs,
  intervalsWith,
  type HubOptions,
} from "./options.ts";
import { Tasks } from "./tasks.ts";
import { timedStore } from "./timed-store.ts";
import { TunnelHub } from "./tunnel/tunnel-hub.ts";

export interface HubDeps {
  /** stays the caller's to dispose, after the hub */
  store: Store;
  log: Log;
  keys: Authenticator;
}

export interface Hub extends AsyncDisposable {
  readonly url: string;
  readonly id: string;
  /** `host:port` of the listener for callers of routes; null without one */
  readonly edge: string | null;
  /** Takes no more jobs; those that are there go on, with whoever follows them. */
  takeNoMore(): void;
  /** Takes nothing new, sends workers elsewhere, and resolves once every reply is out, at the latest after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void>;
  /** Cuts every connection at once, as a crash would. */
  abort(reason: SallyportError): void;
}

type Acceptor = ChannelAcceptor<Identity, HubMessage, WorkerMessage, HubStream, WorkerStream>;

/** Listens and serves until disposed. Throws `config_invalid` when it cannot listen there. */
export async function createHub(deps: HubDeps, options: HubOptions): Promise<Hub> {
  const context = makeContext(deps, options);
  const names: OwnNames = {
    boundHost: options.host,
    publicHosts: [...(options.publicHosts ?? []), advertisedName(options)],
  };
  const [closed, leaving] = [new AbortController(), new AbortController()];
  const takesJobs = (): boolean => !closed.signal.aborted && !leaving.signal.aborted;
  let listener: Listener | undefined;
  const api = await createApi({
    context: { hub: context, keys: deps.keys, names, takesJobs, leaving: leaving.signal },
    serverFactory: (handler) => {
      listener = new Listener(handler, { tls: options.tls });
      return listener.server;
    },
  });
  if (listener === undefined) throw new SallyportError("internal", "the API made no server");
  const url = await listen(api, options);
  const edge = options.edge === undefined ? undefined : await openEdge(context.tunnel, options.edge);
  context.log.info({ url, edge: edge?.address }, "hub listens");
  const parts = { context, api, listener, edge, keys: deps.keys };
  return new RunningHub(parts, { url, names, closed, leaving, options });
}

function makeContext(deps: HubDeps, options: HubOptions): HubContext {
  const metrics = new HubMetrics();
  const hubId = `hub-${randomUUID()}`;
  const log = deps.log.child({ hubId });
  const store = timedStore(deps.store, (operation, ms) => {
    metrics.storeSeconds.observe({ operation }, ms / 1_000);
  });
  return {
    hubId,
    intervals: intervalsWith(options.intervals),
    store,
    live: new LiveJobs({ jobs: store.jobs }),
    registry: new WorkerRegistry(),
    tunnel: new TunnelHub({ metrics: metrics.tunnel, log }),
    connectors: new Map(),
    neighbours: new Neighbours({ directory: store.hubs, log }, { hubId }),
    wake: new Wake((reason) => metrics.wakes.inc({ reason })),
    metrics,
    tasks: new Tasks({ log }),
    log,
  };
}

async function listen(api: Api, { host, port, tls }: HubOptions): Promise<string> {
  try {
    await api.listen({ host, port });
  } catch (cause) {
    const why = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    throw new SallyportError("config_invalid", `listen: cannot listen on ${host} port ${port}: ${why}`, {
      details: { field: "listen", fix: "choose another port, or an address of this host" },
      cause,
    });
  }
  const bound = api.server.address() as AddressInfo;
  const name = bound.family === "IPv6" ? `[${bound.address}]` : bound.address;
  return `${tls === undefined ? "http" : "https"}://${name}:${bound.port}`;
}

interface RunningDeps {
  context: HubContext;
  api: Api;
  listener: Listener;
  edge: Edge | undefined;
  keys: Authenticator;
}

interface RunningOptions {
  url: string;
  names: OwnNames;
  closed: AbortController;
  leaving: AbortController;
  options: HubOptions;
}

class RunningHub implements Hub {
  readonly url: string;
  readonly id: string;
  readonly #context: HubContext;
  readonly #api: Api;
  readonly #listener: Listener;
  readonly #edge: Edge | undefined;
  readonly #closed: AbortController;
  readonly #leaving: AbortController;
  readonly #channels = new Map<HubChannel, Identity>();
  readonly #stopped = new AbortController();
  readonly #acceptor: Acceptor;
  #disposing: Promise<void> | undefined;

  constructor(deps: RunningDeps, { url, names, closed, leaving, options }: RunningOptions) {
    this.url = url;
    this.id = deps.context.hubId;
    this.#context = deps.context;
    this.#api = deps.api;
    this.#listener = deps.listener;
    this.#edge = deps.edge;
    this.#closed = closed;
    this.#leaving = leaving;
    const { log, tasks } = deps.context;
    this.#acceptor = new ChannelAcceptor({
      server: deps.listener.server,
      dialect: hubDialect,
      log,
      authorize: (request) => this.#authorize(request, deps.keys, names),
      onChannel: (channel, identity) => this.#serve(channel, identity),
    });
    const retentionMs = options.retentionMs ?? defaultRetentionMs;
    tasks.start("dispatch", () => dispatchLoop(this.#context, this.#stopped.signal));
    tasks.start("revocation", () =>
      revocationLoop({ keys: deps.keys, log }, this.#channels, this.#stopped.signal),
    );
    tasks.start("neighbours", () => neighbourLoop(this.#context, this.#stopped.signal));
    tasks.start("announcement", () =>
      this.#context.neighbours.announceLoop(advertisedUrl(options, url), this.#stopped.signal),
    );
    tasks.start("expiry", () => expiryLoop(this.#context, { retentionMs }, this.#stopped.signal));
  }

  get edge(): string | null {
    return this.#edge?.address ?? null;
  }

  takeNoMore(): void {
    this.#closed.abort();
  }

  async drain(deadlineMs: number): Promise<void> {
    using deadline = deadlineSignal(deadlineMs, "draining the hub");
    this.#leaving.abort(new SallyportError("hub_draining", "this hub is about to stop"));
    for (const connection of this.#context.registry.all()) connection.rest(Number.POSITIVE_INFINITY);
    for (const channel of this.#channels.keys()) channel.send({ type: "go-away", deadlineMs });
    try {
      await Promise.all([this.#listener.idle(deadline.signal), this.#edge?.drain(deadlineMs)]);
    } catch (error) {
      this.#context.log.warn({ err: error }, "hub drained up to its deadline, replies are cut");
    }
  }

  abort(reason: SallyportError): void {
    this.#leaving.abort(reason);
    this.#stopped.abort(reason);
    for (const channel of this.#channels.keys()) channel.abort(reason);
    this.#listener.server.closeAllConnections();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposing ??= this.#dispose();
    await this.#disposing;
  }

  async #dispose(): Promise<void> {
    const reason = new SallyportError("shutting_down", "the hub stops");
    this.#leaving.abort(reason);
    this.#stopped.abort(reason);
    await this.#edge?.[Symbol.asyncDispose]();
    await this.#acceptor[Symbol.asyncDispose]();
    this.#listener.server.closeAllConnections();
    await this.#api.close();
    await this.#context.tasks.settle();
    await this.#context.neighbours.leave();
    this.#context.metrics[Symbol.dispose]();
    this.#context.log.info("hub stopped");
  }

  async #authorize(request: IncomingMessage, keys: Authenticator, names: OwnNames): Promise<Identity> {
    checkNames({ host: request.headers.host, origin: request.headers.origin }, names);
    const identity = await authenticate(keys, request.headers);
    requireScope(identity, "worker", "connector");
    if (this.#leaving.signal.aborted) {
      throw new SallyportError("hub_draining", "this hub takes no more channels, it is about to stop");
    }
    return identity;
  }

  #serve(channel: HubChannel, identity: Identity): void {
    this.#channels.set(channel, identity);
    this.#context.tasks.start("channel", async () => {
      try {
        await serveChannel(this.#context, channel, identity);
      } finally {
        this.#channels.delete(channel);
      }
    });
  }
}

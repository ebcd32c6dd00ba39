/** A tunnel in the process that can reach the upstreams: the file it was made from, and everything that lives by it. */
import type { Duplex } from "node:stream";
import { deadlineSignal } from "../../async/index.ts";
import { isError, SallyportError } from "../../errors.ts";
import type { Forward } from "../../exchange/index.ts";
import type { Caller, RouteHealth, Tunnel, TunnelConfig } from "../contract.ts";
import { throughAffinity } from "./affinity.ts";
import { Door } from "./door.ts";
import { defaultLimits, type TunnelDeps, type TunnelLimits } from "./deps.ts";
import { RouteProbes } from "./health.ts";
import { loadIdentity, type ServerIdentity } from "./identity.ts";
import { Peers } from "./peers.ts";
import { SessionSeal } from "./sessions.ts";
import { ToolCeilings } from "./tool-ceiling.ts";
import { Upstreams } from "./upstreams.ts";
import { watchFiles } from "./watch-files.ts";

/** Throws `config_invalid` for what the file names and cannot be used. */
export async function openTunnel(deps: TunnelDeps, config: TunnelConfig): Promise<Tunnel> {
  const ceilings = new ToolCeilings(deps.log, deps.figures);
  const identity = await loadIdentity(config);
  const upstreams = await Upstreams.open(config, deps, ceilings);
  return new LiveTunnel(deps, { ceilings, identity, upstreams });
}

interface Start {
  readonly ceilings: ToolCeilings;
  readonly identity: ServerIdentity | null;
  readonly upstreams: Upstreams;
}

class LiveTunnel implements Tunnel {
  readonly #deps: TunnelDeps;
  readonly #limits: TunnelLimits;
  readonly #ceilings: ToolCeilings;
  readonly #door: Door;
  readonly #probes: RouteProbes;
  readonly #peers: Peers | null;
  readonly #certificate: AsyncDisposable;
  readonly #listeners = new Set<() => void>();
  /** Readings of the file that calls still run on */
  readonly #retired = new Set<Upstreams>();
  #upstreams: Upstreams;
  #identity: ServerIdentity | null;
  #seals: readonly SessionSeal[];
  #reloading: Promise<void> = Promise.resolve();
  #draining = false;

  constructor(deps: TunnelDeps, { ceilings, identity, upstreams }: Start) {
    this.#deps = deps;
    this.#limits = { ...defaultLimits, ...deps.limits };
    this.#ceilings = ceilings;
    this.#identity = identity;
    this.#upstreams = upstreams;
    this.#seals = identity === null ? [] : [new SessionSeal(identity.privateKey)];
    const { peer } = deps;
    this.#peers =
      peer === undefined
        ? null
        : new Peers({ identity: () => this.#identity, open: (target, signal) => peer.open(target, signal) });
    this.#door = this.#createDoor();
    this.#probes = new RouteProbes({
      routes: () => this.#upstreams.table.routes,
      probe: (route, signal) => this.#upstreams.probe(route, signal),
      changed: () => this.#changed(),
      probeMs: this.#limits.probeMs,
    });
    this.#certificate = watchFiles(() => certificateFiles(this.#upstreams.config), {
      everyMs: this.#limits.certificateMs,
      changed: () => this.#reloadCertificate(),
    });
    this.#tellRoutes();
  }

  get domain(): string | null {
    return this.#upstreams.config.tunnelDomain;
  }

  routes(): readonly RouteHealth[] {
    return this.#probes.health();
  }

  onChange(listener: () => void): Disposable {
    const own = (): void => listener();
    this.#listeners.add(own);
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) };
  }

  readonly forward: Forward = async (request, signal) => {
    if (this.#draining) throw closing();
    return await this.#upstreams.forward(request, signal);
  };

  serve(bytes: Duplex, caller: Caller): void {
    this.#door.serve(bytes, caller);
  }

  /** One after another; a later one reads what is there then. */
  async reload(): Promise<void> {
    const before = this.#reloading;
    const mine = before.catch(() => undefined).then(() => this.#reload());
    this.#reloading = mine;
    await mine;
  }

  async drain(deadlineMs: number): Promise<void> {
    this.#draining = true;
    using deadline = deadlineSignal(deadlineMs, "draining the tunnel");
    const all = [this.#upstreams, ...this.#retired].map((each) => each.drain(deadline.signal));
    try {
      await Promise.all([this.#door.drain(deadline.signal), ...all]);
    } catch (error) {
      if (!isError(error, "deadline_exceeded")) throw error;
      this.#deps.log.warn({ deadlineMs }, "requests are cut that did not end in time");
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#draining = true;
    await this.#certificate[Symbol.asyncDispose]();
    await this.#probes[Symbol.asyncDispose]();
    await this.#reloading.catch(() => undefined);
    await this.#door[Symbol.asyncDispose]();
    await this.#peers?.[Symbol.asyncDispose]();
    await Promise.all([this.#upstreams, ...this.#retired].map((each) => each[Symbol.asyncDispose]()));
    this.#listeners.clear();
  }

  #createDoor(): Door {
    const { log, connector, figures } = this.#deps;
    const peers = this.#peers;
    const affinity = {
      connector,
      seals: () => this.#seals,
      toPeer: peers === null ? null : (other: string) => peers.to(other),
    };
    return new Door({
      log,
      identity: () => this.#identity,
      forward: throughAffinity(affinity, this.forward),
      limits: this.#limits,
      counted: (open) => figures?.connections(open),
    });
  }

  async #reload(): Promise<void> {
    if (this.#draining) throw closing();
    const config = await this.#deps.readConfig();
    const [identity, next] = await Promise.all([
      loadIdentity(config),
      Upstreams.open(config, this.#deps, this.#ceilings),
    ]);
    await this.#probes.lookAhead({
      routes: () => next.table.routes,
      probe: (route, signal) => next.probe(route, signal),
    });
    if (this.#draining) {
      await next[Symbol.asyncDispose]();
      throw closing();
    }
    const old = this.#upstreams;
    this.#upstreams = next;
    this.#adopt(identity);
    this.#retire(old);
    this.#tellRoutes();
    for (const { host, state, layer, reason } of this.routes()) {
      if (state === "down") this.#deps.log.warn({ host, layer, reason }, "route does not answer");
    }
    this.#changed();
  }

  /** What runs on the old reading ends there. */
  #retire(old: Upstreams): void {
    this.#retired.add(old);
    void old.drain().then(async () => {
      this.#retired.delete(old);
      await old[Symbol.asyncDispose]();
    });
  }

  async #reloadCertificate(): Promise<void> {
    try {
      this.#adopt(await loadIdentity(this.#upstreams.config));
      this.#deps.log.info({}, "certificate reloaded");
    } catch (error) {
      this.#deps.log.warn({ err: error }, "certificate not reloaded; the old one stays");
    }
  }

  /** Sessions sealed with the key before this one can still be opened. */
  #adopt(identity: ServerIdentity | null): void {
    const isSame = identity?.keyDigest === this.#identity?.keyDigest;
    this.#identity = identity;
    if (identity === null) this.#seals = [];
    else if (!isSame) this.#seals = [new SessionSeal(identity.privateKey), ...this.#seals.slice(0, 1)];
  }

  #tellRoutes(): void {
    for (const { host, upstream } of this.#upstreams.table.routes) {
      const target = `${upstream.scheme}://${upstream.host}:${upstream.port}`;
      this.#deps.log.info({ host, upstream: target }, "route configured");
    }
  }

  #changed(): void {
    this.#deps.figures?.routes(this.#probes.up());
    for (const listener of this.#listeners) listener();
  }
}

function certificateFiles({ tls, clientCaFile }: TunnelConfig): readonly string[] {
  if (tls === null) return [];
  return [tls.certFile, tls.keyFile, ...(clientCaFile === null ? [] : [clientCaFile])];
}

const closing = (): SallyportError =>
  new SallyportError("shutting_down", "the tunnel takes nothing new", { details: { sent: false } });

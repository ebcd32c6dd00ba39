/** Joins a byte stream somebody asked for to one of a connector that offers its host, and copies what it cannot read. */
import { deadlineSignal, linkSignals } from "../../async/index.ts";
import { givenUp, reasonOf, Taken, type BytePair, type IncomingStream } from "../../channel/index.ts";
import { isError, SallyportError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { TunnelStream } from "../../protocol/index.ts";
import type { TunnelMetrics } from "./metrics.ts";
import type { Offerer } from "./offerer.ts";
import type { RouteRegistry } from "./route-registry.ts";

/** how long a connector may take to answer, `ms` */
const openMs = 10_000;

export interface RelayDeps {
  routes: RouteRegistry;
  metrics: TunnelMetrics;
  log: Log;
}

/** A connection to a route, under way. */
export interface OpenRoute extends Disposable {
  readonly pair: BytePair;
  readonly host: string;
  readonly offerer: Offerer;
}

/**
 * A byte stream to some connector that offers the host; the next one is asked where one cannot take it. Throws `route_unknown` or
 * `route_unavailable` with the layer, or the signal's reason. Dispose it when the stream is over.
 */
export async function openRoute(
  { routes, metrics, log }: RelayDeps,
  target: TunnelStream,
  signal?: AbortSignal,
): Promise<OpenRoute> {
  const known = routes.has(target.host);
  try {
    const [offerer, pair] = await ask(routes.candidates(target.host, target.connector), target, signal);
    return keep(offerer, pair, { host: target.host, metrics });
  } catch (error) {
    const reason = SallyportError.from(error);
    metrics.failed(known ? target.host : undefined, reason.code);
    log.info({ ...facts(target), code: reason.code, reason: reason.message }, "route not opened");
    throw error;
  }
}

async function ask(
  candidates: readonly Offerer[],
  { host, requestId, caller }: TunnelStream,
  signal: AbortSignal | undefined,
): Promise<[Offerer, BytePair]> {
  const meta: TunnelStream = { kind: "tunnel", host, requestId, ...(caller !== undefined && { caller }) };
  let last: unknown;
  for (const offerer of candidates) {
    using deadline = deadlineSignal(openMs, `opening ${host} at ${offerer.label}`);
    using either = linkSignals(signal, deadline.signal);
    try {
      return [offerer, await offerer.open(meta, either.signal)];
    } catch (error) {
      signal?.throwIfAborted();
      last = error;
    }
  }
  const why = SallyportError.from(last);
  throw new SallyportError("route_unavailable", `${host}: no connector took the connection: ${why.message}`, {
    details: { layer: "edge", host, fix: "try again", reason: why.code },
    cause: last,
  });
}

function keep(offerer: Offerer, pair: BytePair, route: { host: string; metrics: TunnelMetrics }): OpenRoute {
  const { host, metrics } = route;
  offerer.active += 1;
  metrics.opened(host);
  let over = false;
  return {
    pair,
    host,
    offerer,
    [Symbol.dispose]() {
      if (over) return;
      over = true;
      offerer.active -= 1;
      metrics.closed(host);
    },
  };
}

/** Serves a stream that `from` opened; resolves once it is over. */
export async function relay(
  deps: RelayDeps,
  from: Offerer,
  stream: IncomingStream<TunnelStream>,
): Promise<void> {
  const target = { ...stream.meta, caller: from.label };
  let near: BytePair;
  let route: OpenRoute;
  try {
    route = await openRoute(deps, target);
  } catch (error) {
    stream.reset(SallyportError.from(error));
    return;
  }
  using _open = route;
  const { pair, host } = route;
  try {
    near = from.accept(stream);
  } catch (error) {
    giveUp(pair, error);
    return;
  }
  try {
    await Promise.all([
      carry(near, pair, (bytes) => deps.metrics.bytes(host, "in", bytes)),
      carry(pair, near, (bytes) => deps.metrics.bytes(host, "out", bytes)),
    ]);
  } catch (error) {
    giveUp(near, pair.in.broken ? lost(route, error) : error);
    giveUp(pair, error);
    deps.log.debug({ ...facts(target), to: route.offerer.label, err: reasonOf(error) }, "byte stream cut");
  }
}

/** One direction. Where `to` takes no more but comes to its own end, only this direction is given up; else throws why. */
async function carry(from: BytePair, to: BytePair, count: (bytes: number) => void): Promise<void> {
  try {
    await Promise.all([copy(from, to, count), to.out.finished]);
  } catch (error) {
    if (from.in.broken || to.in.broken) throw error;
    from.in.reset(givenUp(reasonOf(error)));
  }
}

/** What is taken is only what the next hop has room for, so a slow end slows the other. */
async function copy(from: BytePair, to: BytePair, count: (bytes: number) => void): Promise<void> {
  const taken = new Taken(from.in);
  for await (const chunk of from.in.chunks) {
    await to.out.write(chunk);
    taken.add(chunk.length);
    count(chunk.length);
  }
  to.out.end();
  from.in.finish();
}

/** What a caller is told of a connector whose channel is over. */
function lost({ host, offerer }: OpenRoute, error: unknown): unknown {
  if (!isError(error, "channel_closed")) return error;
  return new SallyportError("route_unavailable", `${host}: ${offerer.label} was lost`, {
    details: { layer: "edge", host },
    cause: error,
  });
}

/** In this order the far end takes the two for one, see `byteDuplex`. */
function giveUp(pair: BytePair, error: unknown): void {
  const reason = givenUp(reasonOf(error));
  pair.out.reset(reason);
  pair.in.reset(reason);
}

function facts({ host, requestId, caller }: TunnelStream): Record<string, unknown> {
  return { host, requestId, caller };
}

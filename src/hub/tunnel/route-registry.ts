/** Which routes there are, and who offers them. */
import { SallyportError } from "../../errors.ts";
import { limits, type OfferedRoute, type Route, type RouteState } from "../../protocol/index.ts";
import type { Offerer } from "./offerer.ts";

/** A route over everybody who offers it. */
export interface RouteView extends OfferedRoute {
  /** labels of those who offer it */
  offeredBy: string[];
}

/** health, best first */
const states: readonly RouteState[] = ["up", "unknown", "down"];

export class RouteRegistry {
  /** by host, then by who offers it, in the order they came */
  readonly #byHost = new Map<string, Map<Offerer, OfferedRoute>>();
  readonly #byOfferer = new Map<Offerer, readonly string[]>();
  readonly #listeners = new Set<() => void>();
  #turn = 0;

  /** Calls back when hosts or names came or went, not when only health changed. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Replaces what `offerer` offers. */
  offer(offerer: Offerer, routes: readonly OfferedRoute[]): void {
    const before = this.#fingerprint(offerer);
    this.#remove(offerer);
    for (const route of routes) {
      const offers = this.#byHost.get(route.host) ?? new Map<Offerer, OfferedRoute>();
      offers.set(offerer, route);
      this.#byHost.set(route.host, offers);
    }
    this.#byOfferer.set(
      offerer,
      routes.map(({ host }) => host),
    );
    if (before !== this.#fingerprint(offerer)) this.#tell();
  }

  withdraw(offerer: Offerer): void {
    const had = (this.#byOfferer.get(offerer)?.length ?? 0) > 0;
    this.#remove(offerer);
    if (had) this.#tell();
  }

  /** Hosts and names, by host; cut where the wire's limit is. */
  known(): Route[] {
    return this.views()
      .slice(0, limits.routes)
      .map(({ host, name }) => ({ host, name }));
  }

  /** By host, each with the best health anyone saw. */
  views(): RouteView[] {
    return [...this.#byHost.values()]
      .map((offers) => best([...offers].map(([{ label }, route]) => ({ ...route, offeredBy: [label] }))))
      .sort((a, b) => (a.host < b.host ? -1 : 1));
  }

  has(host: string): boolean {
    return this.#byHost.has(host);
  }

  /** Whether a job may name it: a full host, or the name of a route. */
  knows(hostOrName: string): boolean {
    if (this.has(hostOrName)) return true;
    return this.views().some(({ name }) => name === hostOrName);
  }

  /**
   * Who to ask for a connection to `host`, best first: those that say it is up before those that do not know, less busy ones first,
   * and equals in turn. Throws `route_unknown` when nobody offers it, `route_unavailable` when the one named does not.
   */
  candidates(host: string, connector?: string): Offerer[] {
    const offers = this.#byHost.get(host);
    if (offers === undefined) {
      throw new SallyportError("route_unknown", `no connector offers ${host}`, {
        details: { layer: "name", host, fix: "see `sallyport routes ls`, and that the connector is online" },
      });
    }
    const able = [...offers].filter(
      ([{ id, draining }]) => !draining && (connector === undefined || id === connector),
    );
    if (able.length === 0) throw unavailable(host, connector);
    this.#turn += 1;
    const turned = able.map((_, at) => able[(at + this.#turn) % able.length] as (typeof able)[number]);
    return turned
      .sort(
        ([a, { state: stateA }], [b, { state: stateB }]) =>
          states.indexOf(stateA) - states.indexOf(stateB) || a.active - b.active,
      )
      .map(([offerer]) => offerer);
  }

  #remove(offerer: Offerer): void {
    for (const host of this.#byOfferer.get(offerer) ?? []) {
      const offers = this.#byHost.get(host);
      offers?.delete(offerer);
      if (offers?.size === 0) this.#byHost.delete(host);
    }
    this.#byOfferer.delete(offerer);
  }

  #fingerprint(offerer: Offerer): string {
    const hosts = this.#byOfferer.get(offerer) ?? [];
    return hosts.map((host) => `${host} ${this.#byHost.get(host)?.get(offerer)?.name ?? ""}`).join("\n");
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

function unavailable(host: string, connector: string | undefined): SallyportError {
  const who = connector === undefined ? "every connector" : `connector ${connector}`;
  const why = connector === undefined ? "is about to stop" : "does not offer it, or is about to stop";
  return new SallyportError("route_unavailable", `${host}: ${who} that was asked ${why}`, {
    details: { layer: "edge", host, fix: "try again" },
  });
}

/** Views of several hubs as one. */
export function mergeViews(views: readonly RouteView[]): RouteView[] {
  const byHost = new Map<string, RouteView[]>();
  for (const view of views) byHost.set(view.host, [...(byHost.get(view.host) ?? []), view]);
  return [...byHost.values()].map(best).sort((a, b) => (a.host < b.host ? -1 : 1));
}

function best(views: readonly RouteView[]): RouteView {
  const [first] = [...views].sort(
    (a, b) => states.indexOf(a.state) - states.indexOf(b.state) || (b.checkedAt ?? 0) - (a.checkedAt ?? 0),
  );
  if (first === undefined) throw new SallyportError("internal", "a route nobody offers");
  return { ...first, offeredBy: [...new Set(views.flatMap(({ offeredBy }) => offeredBy))] };
}

/** Every route that can be reached from here, and which way: local before remote. */
import type { Forward } from "../exchange/index.ts";
import { SallyportError } from "../errors.ts";
import { canonicalHost, type KnownRoute } from "../tunnel/index.ts";
import type { GatewayDeps } from "./contract.ts";

export type Way = "local" | "remote";

interface Known {
  /** by canonical host */
  readonly ways: ReadonlyMap<string, Way>;
  /** full hosts by the name below their tunnel's domain */
  readonly names: ReadonlyMap<string, string>;
}

export class RouteBook implements Disposable {
  readonly #deps: Pick<GatewayDeps, Way>;
  readonly #listeners = new Set<() => void>();
  readonly #watching: Disposable[];
  #known: Known;

  constructor(deps: Pick<GatewayDeps, Way>) {
    this.#deps = deps;
    this.#known = this.#read();
    const changed = (): void => this.#changed();
    this.#watching = [deps.local, deps.remote].flatMap((source) => source?.onChange(changed) ?? []);
  }

  hosts(): readonly string[] {
    return [...this.#known.ways.keys()];
  }

  /** Undefined: nobody serves it any more. */
  wayOf(host: string): Way | undefined {
    return this.#known.ways.get(host);
  }

  /** The full hostname of a full hostname or of a name. Throws `route_unknown`. */
  resolve(text: string): string {
    const host = canonicalHost(text);
    if (host !== undefined) {
      const { ways, names } = this.#known;
      const full = ways.has(host) ? host : names.get(host);
      if (full !== undefined) return full;
    }
    throw unknownRoute(text);
  }

  /** Carries a request the way its host's route is on when it comes. */
  readonly forward: Forward = (request, signal) => {
    const way = this.wayOf(request.host);
    const source = way === undefined ? undefined : this.#deps[way];
    if (source === undefined) return Promise.reject(unknownRoute(request.host));
    return source.forward(request, signal);
  };

  onChange(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  [Symbol.dispose](): void {
    for (const watching of this.#watching) watching[Symbol.dispose]();
    this.#listeners.clear();
  }

  #changed(): void {
    const before = this.hosts().join();
    this.#known = this.#read();
    if (this.hosts().join() === before) return;
    for (const listener of this.#listeners) listener();
  }

  #read(): Known {
    const ways = new Map<string, Way>();
    const names = new Map<string, string>();
    const add = (way: Way, { host, name }: KnownRoute): void => {
      if (canonicalHost(host) !== host) return;
      if (!ways.has(host)) ways.set(host, way);
      if (name !== null && !names.has(name)) names.set(name, host);
    };
    for (const route of this.#deps.local?.routes() ?? []) add("local", route);
    for (const route of this.#deps.remote?.routes() ?? []) add("remote", route);
    return { ways, names };
  }
}

export function unknownRoute(host: string): SallyportError {
  return new SallyportError("route_unknown", `no route to ${host}`, { details: { layer: "route" } });
}

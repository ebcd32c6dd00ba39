/** Looks at every upstream now and then the way a request would, so that a route says whether it works. */
import { sleep } from "../../async/index.ts";
import { isError, SallyportError } from "../../errors.ts";
import { layerOf } from "../../exchange/index.ts";
import type { RouteHealth } from "../contract.ts";
import type { Route } from "../routes.ts";

export interface Probed {
  routes(): readonly Route[];
  /** Throws the failure of the first layer that does not hold. */
  probe(route: Route, signal: AbortSignal): Promise<void>;
}

export interface HealthDeps extends Probed {
  /** Routes or what is known of them changed. */
  changed(): void;
  readonly probeMs: number;
}

type Look = Pick<RouteHealth, "state" | "layer" | "reason" | "checkedAt">;

const neverLooked: Look = { state: "unknown", layer: null, reason: null, checkedAt: null };

export class RouteProbes implements AsyncDisposable {
  readonly #deps: HealthDeps;
  readonly #looks = new Map<string, Look>();
  readonly #stop = new AbortController();
  readonly #over: Promise<void>;

  constructor(deps: HealthDeps) {
    this.#deps = deps;
    this.#over = this.#keepLooking();
  }

  health(): readonly RouteHealth[] {
    return this.#deps.routes().map((route) => {
      const { host, name } = route;
      return { host, name, ...this.#lastLook(route) };
    });
  }

  /** Which routes, by their key in the file, answered when last looked at. */
  up(): readonly { readonly route: string; readonly up: boolean }[] {
    return this.#deps.routes().map((route) => {
      return { route: route.key, up: this.#lastLook(route).state === "up" };
    });
  }

  /** Looks at every upstream now; resolves when all have answered or failed. */
  async look(): Promise<void> {
    const before = JSON.stringify(this.#states());
    await this.lookAhead(this.#deps);
    const known = new Set(this.#deps.routes().map(keyOf));
    for (const key of this.#looks.keys()) if (!known.has(key)) this.#looks.delete(key);
    if (JSON.stringify(this.#states()) !== before) this.#deps.changed();
  }

  /** Looks at routes that may be there soon, so that they are known when they come. */
  async lookAhead(probed: Probed): Promise<void> {
    await Promise.all(probed.routes().map((route) => this.#lookAt(route, probed)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new SallyportError("shutting_down", "the tunnel closes"));
    await this.#over;
  }

  async #keepLooking(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.look();
      // not all connectors at once
      const jitter = 0.8 + Math.random() * 0.4;
      await sleep(this.#deps.probeMs * jitter, signal).catch(() => undefined);
    }
  }

  async #lookAt(route: Route, probed: Probed): Promise<void> {
    const checked = async (): Promise<Look> => {
      try {
        await probed.probe(route, this.#stop.signal);
        return { ...neverLooked, state: "up", checkedAt: Date.now() };
      } catch (error) {
        const failure = isError(error) ? error : SallyportError.from(error);
        return { state: "down", layer: layerOf(failure), reason: failure.message, checkedAt: Date.now() };
      }
    };
    const look = await checked();
    if (!this.#stop.signal.aborted) this.#looks.set(keyOf(route), look);
  }

  #lastLook(route: Route): Look {
    return this.#looks.get(keyOf(route)) ?? neverLooked;
  }

  #states(): unknown {
    return this.health().map(({ host, state, layer }) => [host, state, layer]);
  }
}

/** A route that goes elsewhere has to be looked at anew. */
const keyOf = ({ host, upstream }: Route): string =>
  `${host} ${upstream.scheme}://${upstream.host}:${upstream.port}`;

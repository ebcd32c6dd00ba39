/** What the proxy counts, for Prometheus. Every label has few values: routes are those of the file. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { isError } from "../../errors.ts";
import { layerOf, type Forward } from "../../exchange/index.ts";

/** seconds */
const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export class TunnelFigures {
  readonly #registry = new Registry();
  readonly #requests: Counter<"route" | "status">;
  readonly #seconds: Histogram<"route">;
  readonly #denied: Counter<"route" | "reason">;
  readonly #failures: Counter<"route" | "layer">;
  readonly #connections: Gauge;
  readonly #up: Gauge<"route">;

  constructor() {
    const registers = [this.#registry];
    this.#requests = new Counter({
      name: "sallyport_tunnel_requests_total",
      help: "Requests by route and class of status",
      labelNames: ["route", "status"],
      registers,
    });
    this.#seconds = new Histogram({
      name: "sallyport_tunnel_reply_seconds",
      help: "From a request to the head of its reply",
      labelNames: ["route"],
      buckets,
      registers,
    });
    this.#denied = new Counter({
      name: "sallyport_tunnel_denied_total",
      help: "Requests and tool calls that were refused",
      labelNames: ["route", "reason"],
      registers,
    });
    this.#failures = new Counter({
      name: "sallyport_tunnel_failures_total",
      help: "Requests that failed, by the layer that did not hold",
      labelNames: ["route", "layer"],
      registers,
    });
    this.#connections = new Gauge({
      name: "sallyport_tunnel_connections",
      help: "Callers connected now",
      registers,
    });
    this.#up = new Gauge({
      name: "sallyport_tunnel_route_up",
      help: "1 where the last probe reached the upstream",
      labelNames: ["route"],
      registers,
    });
  }

  /** Counts what passes through, as traffic of `route`. */
  through(route: string, forward: Forward): Forward {
    return async (request, signal) => {
      const began = performance.now();
      try {
        const response = await forward(request, signal);
        this.#requests.inc({ route, status: `${Math.trunc(response.status / 100)}xx` });
        return response;
      } catch (error) {
        this.failed(route, error);
        throw error;
      } finally {
        this.#seconds.observe({ route }, (performance.now() - began) / 1_000);
      }
    };
  }

  denied(route: string, reason: string): void {
    this.#denied.inc({ route, reason });
  }

  failed(route: string, error: unknown): void {
    if (!isError(error)) return;
    this.#requests.inc({ route, status: `${Math.trunc(error.status / 100)}xx` });
    if (error.class === "denied") this.denied(route, error.code);
    else this.#failures.inc({ route, layer: layerOf(error) ?? "none" });
  }

  connections(open: number): void {
    this.#connections.set(open);
  }

  routes(states: readonly { readonly route: string; readonly up: boolean }[]): void {
    this.#up.reset();
    for (const { route, up } of states) this.#up.set({ route }, up ? 1 : 0);
  }

  /** The text a scraper gets. */
  async render(): Promise<{ contentType: string; text: string }> {
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }
}

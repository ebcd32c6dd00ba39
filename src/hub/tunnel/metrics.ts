import { Counter, Gauge, type Registry } from "prom-client";

/** Byte streams by route. A host nobody offers is never a label, so that callers cannot make labels. */
export class TunnelMetrics {
  readonly #streams: Counter<"route" | "outcome">;
  readonly #active: Gauge<"route">;
  readonly #bytes: Counter<"route" | "direction">;
  readonly #edgeOpen: Gauge;
  readonly #edgeRefused: Counter<"reason">;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#streams = new Counter({
      name: "sallyport_tunnel_streams_total",
      help: "Byte streams to routes by what became of their opening",
      labelNames: ["route", "outcome"],
      registers,
    });
    this.#active = new Gauge({
      name: "sallyport_tunnel_active",
      help: "Byte streams to routes that are open",
      labelNames: ["route"],
      registers,
    });
    this.#bytes = new Counter({
      name: "sallyport_tunnel_bytes_total",
      help: "Bytes carried, in towards the route or out of it",
      labelNames: ["route", "direction"],
      registers,
    });
    this.#edgeOpen = new Gauge({
      name: "sallyport_edge_connections",
      help: "Connections of callers from outside that are open",
      registers,
    });
    this.#edgeRefused = new Counter({
      name: "sallyport_edge_refused_total",
      help: "Connections of callers from outside that were not carried",
      labelNames: ["reason"],
      registers,
    });
  }

  opened(route: string): void {
    this.#streams.inc({ route, outcome: "opened" });
    this.#active.inc({ route });
  }

  closed(route: string): void {
    this.#active.dec({ route });
  }

  failed(route: string | undefined, reason: string): void {
    this.#streams.inc({ route: route ?? "", outcome: reason });
  }

  bytes(route: string, direction: "in" | "out", bytes: number): void {
    this.#bytes.inc({ route, direction }, bytes);
  }

  edgeOpened(): Disposable {
    this.#edgeOpen.inc();
    return { [Symbol.dispose]: () => this.#edgeOpen.dec() };
  }

  edgeRefused(reason: string): void {
    this.#edgeRefused.inc({ reason });
  }
}

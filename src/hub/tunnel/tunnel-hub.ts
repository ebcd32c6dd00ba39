/** Everybody who offers routes or uses them, and the one list they are all told. */
import type { Log } from "../../log.ts";
import type { OfferedRoute } from "../../protocol/index.ts";
import type { TunnelMetrics } from "./metrics.ts";
import type { Offerer } from "./offerer.ts";
import { RouteRegistry } from "./route-registry.ts";

export class TunnelHub {
  readonly routes = new RouteRegistry();
  readonly metrics: TunnelMetrics;
  readonly log: Log;
  readonly #members = new Set<Offerer>();
  #telling = false;

  constructor(deps: { metrics: TunnelMetrics; log: Log }) {
    this.metrics = deps.metrics;
    this.log = deps.log;
    this.routes.onChange(() => this.#tellSoon());
  }

  /** Takes part from here on, and is told of every change. */
  join(member: Offerer, routes: readonly OfferedRoute[]): void {
    this.#members.add(member);
    this.offer(member, routes);
  }

  /** Replaces what it offers. */
  offer(member: Offerer, routes: readonly OfferedRoute[]): void {
    if (this.#members.has(member)) this.routes.offer(member, routes);
  }

  leave(member: Offerer): void {
    this.#members.delete(member);
    this.routes.withdraw(member);
  }

  /** Changes of one turn are told as one. */
  #tellSoon(): void {
    if (this.#telling) return;
    this.#telling = true;
    setImmediate(() => {
      this.#telling = false;
      const routes = this.routes.known();
      for (const { channel } of this.#members) channel.send({ type: "routes", routes });
    });
  }
}

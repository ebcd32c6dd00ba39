/** Everybody who offers routes or uses them, and the one list they are all told. */
import type { Log } from "../../log.ts";
import type { OfferedRoute } from "../../protocol/index.ts";
import type { TunnelMetrics } from "./metrics.ts";
import type { Offerer } from "./offerer.ts";
import { RouteRegistry } from "./route-registry.ts";

/** from one telling to the next, `ms` */
const gapMs = 100;
/** A channel with more than this to send, in bytes, is told later: stream data alone comes to less. */
const maxUnsent = 1 * 2 ** 20;

export class TunnelHub {
  readonly routes = new RouteRegistry();
  readonly metrics: TunnelMetrics;
  readonly log: Log;
  readonly #members = new Set<Offerer>();
  /** members that know another list than the one there is */
  readonly #untold = new Set<Offerer>();
  #telling = false;

  constructor(deps: { metrics: TunnelMetrics; log: Log }) {
    this.metrics = deps.metrics;
    this.log = deps.log;
    this.routes.onChange(() => {
      for (const member of this.#members) this.#untold.add(member);
      this.#tellSoon();
    });
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
    this.#untold.delete(member);
    this.routes.withdraw(member);
  }

  /** Changes of one turn are told as one, and those that follow after a gap: routes that flap must not take up whoever reads of them. */
  #tellSoon(): void {
    if (this.#telling) return;
    this.#telling = true;
    setImmediate(() => {
      this.#tell();
      const gap = setTimeout(() => {
        this.#telling = false;
        if (this.#untold.size > 0) this.#tellSoon();
      }, gapMs);
      gap.unref();
    });
  }

  #tell(): void {
    const ready = [...this.#untold].filter(({ channel }) => channel.unsent <= maxUnsent);
    if (ready.length === 0) return;
    const routes = this.routes.known();
    for (const member of ready) {
      this.#untold.delete(member);
      member.channel.send({ type: "routes", routes });
    }
  }
}

/** What a route's own settings say of its tools, for every caller: which may be used, and that they stay what they were. */
import type { Log } from "../../log.ts";
import { ByteRoom, type Forward } from "../../exchange/index.ts";
import { throughToolPolicy, ToolPin, type ToolRule, type ToolVerdict } from "../../mcp/index.ts";
import type { Route } from "../routes.ts";
import type { TunnelFigures } from "./figures.ts";

/** bytes of bodies that are judged at once, of all callers */
const roomBytes = 64 * 2 ** 20;

const allowed: ToolVerdict = { allow: true };

/** Remembers the tools of every upstream over reloads. */
export class ToolCeilings {
  readonly #log: Log;
  readonly #figures: TunnelFigures | undefined;
  readonly #pins = new Map<string, ToolPin>();
  readonly #room = new ByteRoom(roomBytes);

  constructor(log: Log, figures: TunnelFigures | undefined) {
    this.#log = log;
    this.#figures = figures;
  }

  through(route: Route, forward: Forward): Forward {
    const { tools, pin } = route.settings;
    if (tools === null && pin === "off") return forward;
    const pinned = this.#pinOf(route);
    const rule: ToolRule = {
      tools: tools === null ? null : new Set(tools),
      strict: pin === "deny",
      pinned: pin === "deny",
      admit: () => allowed,
      ended: (_call, { verdict }) => {
        if (!verdict.allow) this.#figures?.denied(route.key, verdict.code);
      },
      listed: (list, page) => pinned.listed(list, page),
    };
    return throughToolPolicy(rule, forward, this.#room);
  }

  #pinOf({ key, host, upstream, settings }: Route): ToolPin {
    const name = `${key} ${upstream.scheme}://${upstream.host}:${upstream.port} ${settings.pin}`;
    const known = this.#pins.get(name);
    if (known !== undefined) return known;
    const pin = new ToolPin({
      mode: settings.pin,
      onDrift: (drift) => this.#log.warn({ host, ...drift }, "tools of the upstream changed"),
    });
    this.#pins.set(name, pin);
    return pin;
  }
}

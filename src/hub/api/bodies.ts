/** Bodies of requests, read as a whole. */
import type { Readable } from "node:stream";
import type { FastifyRequest } from "fastify";
import { SallyportError } from "../../errors.ts";
import { ByteRoom, collectInRoom } from "../../exchange/index.ts";

export interface BodyLimits {
  /** of one body */
  mostBytes: number;
  /** of all that one tenant has read or handled at once; the rest waits on its connections */
  tenantBytes: number;
  /** A body of which nothing comes for so long is given up */
  silenceMs: number;
}

/**
 * However many bodies come at once, and in however small pieces, those of one tenant take a bounded part of the hub's memory: it holds
 * a body several times over while it is parsed, checked and stored.
 */
export class Bodies {
  readonly #limits: BodyLimits;
  readonly #rooms = new Map<string, ByteRoom>();

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  /** Throws `body_too_large`, and `cancelled` or `stream_reset` when the client leaves. */
  async read(request: FastifyRequest, from: Readable): Promise<Buffer> {
    const { mostBytes, silenceMs } = this.#limits;
    const said = request.headers["content-length"];
    const length = said === undefined ? undefined : Number(said);
    if (length !== undefined && length > mostBytes) throw tooLarge();
    const { raw } = request;
    raw.setTimeout(silenceMs, () => raw.destroy());
    const enter = async (bytes: number): Promise<void> => {
      raw.setTimeout(0);
      await this.#enter(request, bytes);
      raw.setTimeout(silenceMs);
    };
    const { bytes, whole } = await collectInRoom(from, { limit: mostBytes, length, enter });
    raw.setTimeout(0);
    if (whole) return bytes;
    from.resume();
    throw tooLarge();
  }

  /** The room is left with the reply, or when the body is let go. */
  async #enter(request: FastifyRequest, bytes: number): Promise<void> {
    const held = new AbortController();
    request.heldBody = held;
    request.reply?.once("close", () => held.abort(new SallyportError("cancelled", "the client left")));
    const place = await this.#roomOf(request.identity?.tenant ?? "").enter(bytes, held.signal);
    held.signal.addEventListener("abort", () => place[Symbol.dispose](), { once: true });
  }

  #roomOf(tenant: string): ByteRoom {
    const room = this.#rooms.get(tenant) ?? new ByteRoom(this.#limits.tenantBytes);
    this.#rooms.set(tenant, room);
    return room;
  }
}

/** To be called where a reply outlives what it needs the request's body for. */
export function letBodyGo(request: FastifyRequest): void {
  request.body = undefined;
  request.heldBody?.abort();
}

function tooLarge(): SallyportError {
  return new SallyportError("body_too_large", "body: larger than this call allows");
}

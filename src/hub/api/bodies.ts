/** Bodies of requests, read as a whole. */
import type { Readable } from "node:stream";
import type { FastifyRequest } from "fastify";
import { SallyportError } from "../../errors.ts";
import { collect } from "../../exchange/index.ts";
import { BodyRoom } from "./body-room.ts";

export interface BodyLimits {
  /** of one body */
  mostBytes: number;
  /** of all that one tenant has read or handled at once; the rest waits on its connections */
  tenantBytes: number;
  /** A body of which nothing comes for so long is given up */
  silenceMs: number;
}

/** A body of fewer bytes waits for no room */
const littleBytes = 64 * 2 ** 10;

/**
 * However many bodies come at once, and in however small pieces, those of one tenant take a bounded part of the hub's memory: it holds
 * a body several times over while it is parsed, checked and stored.
 */
export class Bodies {
  readonly #limits: BodyLimits;
  readonly #rooms = new Map<string, BodyRoom>();

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  /** Throws `body_too_large`, and `cancelled` or `stream_reset` when the client leaves. */
  async read(request: FastifyRequest, from: Readable): Promise<Buffer> {
    const { mostBytes, silenceMs } = this.#limits;
    const length = Number(request.headers["content-length"] ?? mostBytes);
    if (length > mostBytes) throw tooLarge();
    const { raw } = request;
    raw.setTimeout(silenceMs, () => raw.destroy());
    const begun = await collect(from, littleBytes);
    if (!begun.whole) {
      raw.setTimeout(0);
      await this.#enter(request, length);
      raw.setTimeout(silenceMs);
    }
    const bytes = begun.whole ? begun.bytes : await restOf(from, begun.bytes, mostBytes);
    raw.setTimeout(0);
    return bytes;
  }

  /** The room is left with the reply, or when the body is let go. */
  async #enter(request: FastifyRequest, bytes: number): Promise<void> {
    const held = new AbortController();
    request.heldBody = held;
    request.reply?.once("close", () => held.abort(new SallyportError("cancelled", "the client left")));
    await this.#roomOf(request.identity?.tenant ?? "").enter(bytes, held.signal);
  }

  #roomOf(tenant: string): BodyRoom {
    const room = this.#rooms.get(tenant) ?? new BodyRoom(this.#limits.tenantBytes);
    this.#rooms.set(tenant, room);
    return room;
  }
}

/** To be called where a reply outlives what it needs the request's body for. */
export function letBodyGo(request: FastifyRequest): void {
  request.body = undefined;
  request.heldBody?.abort();
}

async function restOf(from: Readable, begun: Buffer, mostBytes: number): Promise<Buffer> {
  // its end may have come with the last piece
  if (from.readableEnded) return begun;
  from.resume();
  const rest = await collect(from, mostBytes - begun.length);
  if (rest.whole) return Buffer.concat([begun, rest.bytes]);
  from.resume();
  throw tooLarge();
}

function tooLarge(): SallyportError {
  return new SallyportError("body_too_large", "body: larger than this call allows");
}

/** Where callers come in: inner TLS is ended, HTTP read, and the host held to the name TLS was made for. */
import type { Duplex } from "node:stream";
import { isError, SallyportError } from "../../errors.ts";
import {
  createHttpFace,
  failureResponse,
  type FaceRequest,
  type Forward,
  type HttpFace,
  type HttpResponse,
} from "../../exchange/index.ts";
import type { Log } from "../../log.ts";
import type { Caller } from "../contract.ts";
import { canonicalHost } from "../hosts.ts";
import { endTls } from "./end-tls.ts";
import type { ServerIdentity } from "./identity.ts";

export interface DoorDeps {
  readonly log: Log;
  /** Null: this tunnel has no certificate, and takes nobody in */
  identity(): ServerIdentity | null;
  readonly forward: Forward;
  readonly limits: { readonly connections: number; readonly handshakeMs: number };
  /** Told how many callers are connected, whenever that changes. */
  counted(open: number): void;
}

interface Guest {
  readonly caller: Caller;
  readonly sni: string | null;
}

/** Disposing it cuts every caller. */
export class Door implements AsyncDisposable {
  readonly #deps: DoorDeps;
  readonly #face: HttpFace<Guest>;
  readonly #open = new Set<Duplex>();
  #closed = false;

  constructor(deps: DoorDeps) {
    this.#deps = deps;
    this.#face = createHttpFace<Guest>(
      { handle: (request, guest, signal) => this.#handle(request, guest, signal), log: deps.log },
      { keepRequestId: true },
    );
  }

  /** Never throws; ends with the stream. */
  serve(bytes: Duplex, caller: Caller): void {
    bytes.on("error", () => undefined);
    const identity = this.#deps.identity();
    if (this.#closed || identity === null || this.#open.size >= this.#deps.limits.connections) {
      this.#deps.log.warn({ peer: caller.peer }, "caller turned away");
      bytes.destroy();
      return;
    }
    this.#open.add(bytes);
    this.#deps.counted(this.#open.size);
    bytes.once("close", () => {
      this.#open.delete(bytes);
      this.#deps.counted(this.#open.size);
    });
    void this.#takeIn(bytes, caller, identity);
  }

  /** Takes nobody in; resolves once all have left, rejects with the signal's reason. */
  async drain(signal?: AbortSignal): Promise<void> {
    this.#closed = true;
    await this.#face.drain(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#face[Symbol.asyncDispose]();
    for (const bytes of this.#open) bytes.destroy();
  }

  async #takeIn(bytes: Duplex, caller: Caller, identity: ServerIdentity): Promise<void> {
    try {
      const ended = await endTls(bytes, identity, this.#deps.limits.handshakeMs);
      if (this.#closed) bytes.destroy();
      else this.#face.serve(ended.bytes, { caller, sni: ended.sni });
    } catch (error) {
      const reason = isError(error) ? (error.details["reason"] ?? error.message) : String(error);
      this.#deps.log.warn({ peer: caller.peer, reason }, "tls handshake failed");
    }
  }

  async #handle(request: FaceRequest, { caller, sni }: Guest, signal: AbortSignal): Promise<HttpResponse> {
    const { id: requestId, host, method } = request;
    const subject = { requestId, host, peer: caller.peer };
    this.#deps.log.info({ ...subject, method }, "request started");
    try {
      checkAddressee(request, sni);
      return await this.#deps.forward(request, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!isError(error) || error.code === "internal") throw error;
      const isUnknown = error.code === "route_unknown";
      const message = isUnknown ? "no route for host" : error.message;
      this.#deps.log.warn({ ...subject, code: error.code, layer: error.details["layer"] }, message);
      const response = failureResponse(error, request);
      // to a caller of the documented proxy an unknown host is a bad gateway
      return isUnknown ? { ...response, status: 502 } : response;
    }
  }
}

/** Throws `host_mismatch` or `request_invalid`: only the host TLS was made for can be asked for. */
function checkAddressee({ host, absolute, upgrade }: FaceRequest, sni: string | null): void {
  const details = { layer: "name", sent: false };
  if (absolute !== null || canonicalHost(host) === undefined) {
    throw new SallyportError("request_invalid", "target: must be a path on a plain hostname", { details });
  }
  if (sni !== host) {
    throw new SallyportError("host_mismatch", "Host differs from the name in TLS (SNI)", { details });
  }
  if (upgrade !== null) {
    throw new SallyportError("request_invalid", "Upgrade: no other protocol is carried", { details });
  }
}

import type { Socket } from "node:net";
import type { WebSocket } from "ws";
import { gatherWrites } from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import { limits } from "../protocol/index.ts";
import { closeOf, errorOfClose } from "./close-codes.ts";
import type { Transport, TransportHandlers } from "./transport.ts";

/** What both ends hold a WebSocket to. A message in more pieces than these is refused with 1008, a larger one with 1009. */
export const wsLimits = {
  perMessageDeflate: false,
  maxPayload: limits.messageBytes,
  maxFragments: 1_024,
  maxBufferedChunks: 16_384,
} as const;

/** An open WebSocket as a transport. */
export class WsTransport implements Transport {
  readonly peer: string;
  readonly #ws: WebSocket;
  readonly #socket: Socket;
  #drained: () => void = () => undefined;

  constructor(ws: WebSocket, socket: Socket) {
    this.#ws = ws;
    this.#socket = socket;
    this.peer = `${socket.remoteAddress ?? "unknown"}:${socket.remotePort ?? 0}`;
  }

  get buffered(): number {
    return this.#ws.bufferedAmount;
  }

  get received(): number {
    return this.#socket.bytesRead;
  }

  get paused(): boolean {
    return this.#ws.isPaused;
  }

  attach(handlers: TransportHandlers): void {
    this.#drained = () => handlers.drained();
    let failure: SallyportError | undefined;
    this.#ws.on("message", (data: Buffer, isBinary: boolean) => {
      if (isBinary) handlers.binary(data);
      else handlers.text(data.toString("utf8"));
    });
    this.#ws.on("error", (error) => {
      failure ??= errorOfFault(error);
    });
    this.#ws.on("close", (code: number, reason: Buffer) => {
      this.#ws.removeAllListeners();
      handlers.closed(failure ?? errorOfClose({ code, reason: reason.toString("utf8") }));
    });
  }

  sendText(text: string): void {
    this.#send(text);
  }

  sendBinary(bytes: Uint8Array): void {
    this.#send(bytes);
  }

  pause(): void {
    this.#ws.pause();
  }

  resume(): void {
    this.#ws.resume();
  }

  ping(): void {
    if (this.#isOpen) this.#ws.ping();
  }

  close(reason: SallyportError): void {
    const close = closeOf(reason);
    this.#ws.close(close.code, close.reason);
  }

  terminate(): void {
    this.#ws.terminate();
  }

  #send(message: string | Uint8Array): void {
    if (!this.#isOpen) return;
    gatherWrites(this.#socket);
    this.#ws.send(message, this.#drained);
  }

  get #isOpen(): boolean {
    return this.#ws.readyState === this.#ws.OPEN;
  }
}

/** `ws` names its own findings `WS_ERR_…`; any other code is the network's. */
function errorOfFault(error: Error): SallyportError {
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  if (code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH") {
    return new SallyportError("frame_too_large", `message: larger than ${limits.messageBytes} bytes`, {
      details: { limit: limits.messageBytes },
      cause: error,
    });
  }
  const ours = code.startsWith("WS_ERR_");
  return new SallyportError(ours ? "protocol_violation" : "channel_closed", error.message, { cause: error });
}

/** What a channel needs from a connection: whole messages in order, how much still waits, and to be told when it is over. */
import type { SallyportError } from "../errors.ts";

export interface TransportHandlers {
  text(text: string): void;
  binary(bytes: Uint8Array): void;
  /** some of what was handed over has left; `buffered` is lower than before */
  drained(): void;
  /** Called once, last. `reason` is what the far end said, or what broke. */
  closed(reason: SallyportError): void;
}

export interface Transport {
  /** address of the far end */
  readonly peer: string;
  /** bytes handed over that have not left yet */
  readonly buffered: number;
  /** grows with anything that arrives, answers to pings included */
  readonly received: number;
  /** this side reads nothing: `received` says nothing of the far end */
  readonly paused: boolean;
  /** Starts delivery; called once, in the same turn the transport is made. */
  attach(handlers: TransportHandlers): void;
  /** Both are no-ops once it is over. The bytes belong to the transport from then on. */
  sendText(text: string): void;
  sendBinary(bytes: Uint8Array): void;
  /** Reads nothing more until `resume`, so that the far end has to wait; what was read before may still be delivered. */
  pause(): void;
  resume(): void;
  /** Makes the far end answer with something that counts as `received`. */
  ping(): void;
  /** Sends what was handed over, then tells the far end why, then closes. */
  close(reason: SallyportError): void;
  /** Cuts at once. */
  terminate(): void;
}

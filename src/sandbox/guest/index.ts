import { SallyportError } from "../../errors.ts";
import type { Guest, GuestLink } from "../contract.ts";

export interface ConnectOptions {
  /** Gives up waiting for the guest's hello */
  signal?: AbortSignal;
  /** How long the guest may take to say hello, in `ms`; 10 000 by default */
  helloTimeoutMs?: number;
}

/** Opens the conversation with the guest behind `link` once it has said hello. */
export async function connectGuest(link: GuestLink, options: ConnectOptions = {}): Promise<Guest> {
  options.signal?.throwIfAborted();
  link.stream.destroy();
  throw new SallyportError("internal", "the guest client cannot connect yet");
}

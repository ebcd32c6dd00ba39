import type { Socket } from "node:net";
import { abortable, deferred } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import { maxHelloBytes, readClientHello } from "./client-hello.ts";

/** What a connection begins with. */
export type Beginning =
  { kind: "tls"; name: string | null } | { kind: "http" } | { kind: "other"; reason: string };

const handshakeRecord = 22;

/** pieces a beginning may come in: each is looked at together with those before it */
const maxPieces = 256;

/**
 * Reads as much as it takes to tell, and puts it back: whoever reads the socket next sees everything. Rejects when the socket ends
 * or breaks before, or with the signal's reason.
 */
export async function readBeginning(socket: Socket, signal: AbortSignal): Promise<Beginning> {
  const told = deferred<Beginning>();
  let bytes: Buffer = Buffer.alloc(0);
  let pieces = 0;
  const look = (): void => {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    bytes = Buffer.concat([bytes, chunk]);
    pieces += 1;
    const beginning =
      classify(bytes) ?? (pieces < maxPieces ? undefined : other("its ClientHello comes in crumbs"));
    if (beginning === undefined) return;
    leave();
    socket.unshift(bytes);
    told.resolve(beginning);
  };
  const broke = (error: Error): void => told.reject(error);
  const ended = (): void =>
    told.reject(new SallyportError("cancelled", "the caller left before it said what it wants"));
  const leave = (): void => {
    socket.off("readable", look).off("error", broke).off("end", ended).off("close", ended);
  };
  socket.on("readable", look).on("error", broke).on("end", ended).on("close", ended);
  try {
    return await abortable(told.promise, signal);
  } finally {
    leave();
  }
}

/** Undefined while it takes more to tell. */
function classify(bytes: Buffer): Beginning | undefined {
  const first = bytes[0] ?? 0;
  if (first !== handshakeRecord) {
    const letter = first >= 0x41 && first <= 0x5a;
    return letter ? { kind: "http" } : other("neither TLS nor HTTP");
  }
  const reading = readClientHello(bytes);
  if (reading.state === "hello") return { kind: "tls", name: reading.name };
  if (reading.state === "not_tls") return other(reading.reason);
  return bytes.length > maxHelloBytes ? other("its ClientHello does not end") : undefined;
}

function other(reason: string): Beginning {
  return { kind: "other", reason };
}

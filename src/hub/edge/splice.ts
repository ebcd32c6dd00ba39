import { Socket } from "node:net";
import type { Duplex } from "node:stream";

/**
 * Carries bytes both ways until both have ended; half-close is carried too, and an end that breaks breaks the other. Resolves once
 * both are closed.
 */
export function splice(a: Duplex, b: Duplex): Promise<void> {
  const closed = [couple(a, b), couple(b, a)];
  a.pipe(b);
  b.pipe(a);
  return Promise.all(closed).then(() => undefined);
}

function couple(end: Duplex, other: Duplex): Promise<void> {
  return new Promise((resolve) => {
    end.on("error", (error) => letGo(end, other, error));
    end.once("close", () => {
      if (!end.readableEnded || !end.writableFinished) letGo(end, other);
      resolve();
    });
  });
}

/** A caller must be able to tell a cut connection from an ended one; one that was given all there is keeps it. */
function letGo(end: Duplex, other: Duplex, error?: Error): void {
  if (!(other instanceof Socket) || other.destroyed) other.destroy(error);
  else if (end.readableEnded) other.destroySoon();
  else other.resetAndDestroy();
}

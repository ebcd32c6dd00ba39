/** What a client of the gateway does by hand: the host it asks, and reading until a mark has come. */
import type { Duplex } from "node:stream";
import { full } from "./gateway-rig.ts";

export const docs = full("docs");

/** Reads until `mark` has come. */
export async function until(socket: Duplex, mark: string): Promise<string> {
  let text = "";
  await new Promise<void>((resolve, reject) => {
    const take = (bytes: Buffer): void => {
      text += String(bytes);
      if (!text.includes(mark)) return;
      socket.off("data", take);
      resolve();
    };
    socket.on("data", take);
    socket.once("close", () => reject(new Error(`closed before ${mark}`)));
  });
  return text;
}

import type { Server } from "node:http";
import { SallyportError } from "../errors.ts";

/** An empty host means every interface. Throws `config_invalid` where the address cannot be had. */
export async function listenOn(
  server: Server,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => {
      const message = `listen ${host}:${port}: ${cause.message}`;
      reject(new SallyportError("config_invalid", message, { cause }));
    });
    server.listen({ port, ...(host !== "" && { host }) }, resolve);
  });
}

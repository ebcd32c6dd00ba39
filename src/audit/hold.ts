import { createHash } from "node:crypto";
import { realpath } from "node:fs/promises";
import { createServer } from "node:net";
import { SallyportError } from "../errors.ts";

/** Holds a log's folder for one writer; throws `state_in_use`. The hold is a name in the kernel, so it ends with its process. */
export async function holdLog(dir: string): Promise<AsyncDisposable> {
  const digest = createHash("sha256")
    .update(await realpath(dir))
    .digest("hex");
  const server = createServer((socket) => socket.destroy());
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject).listen({ path: `\0sallyport-audit-${digest}` }, resolve);
    });
  } catch (error) {
    throw new SallyportError("state_in_use", `${dir}: another process writes this audit log`, {
      cause: error,
      details: { fix: "stop it, or name another state folder" },
    });
  }
  server.unref();
  return { [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())) };
}

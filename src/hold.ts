/** Makes a state folder, and keeps a second process off it. */
import { createHash } from "node:crypto";
import { realpath } from "node:fs/promises";
import { createServer } from "node:net";
import { SallyportError } from "./errors.ts";
import { makeFolders } from "./folder.ts";

/**
 * Holds `dir`, which is made where it is missing, for one process at a time; throws `state_in_use` naming the `holder`, such as
 * `worker`. The hold is a socket name in the kernel, so it ends with its process, whatever ends that, and leaves nothing behind.
 */
export async function holdFolder(dir: string, holder: string): Promise<AsyncDisposable> {
  await makeFolder(dir);
  const digest = createHash("sha256")
    .update(await realpath(dir))
    .digest("hex");
  const server = createServer((socket) => socket.destroy());
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject).listen({ path: `\0sallyport-${holder}-${digest}` }, resolve);
    });
  } catch (error) {
    throw new SallyportError("state_in_use", `${dir}: another ${holder} uses this folder`, {
      cause: error,
      details: { fix: "stop it, or name another folder with --state" },
    });
  }
  server.unref();
  return { [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())) };
}

/** Makes `dir` where it is missing, for this user alone; throws `config_invalid` where it cannot be made. */
export async function makeFolder(dir: string): Promise<void> {
  try {
    await makeFolders(dir, 0o700);
  } catch (error) {
    throw new SallyportError("config_invalid", `${dir} cannot be made: ${(error as Error).message}`, {
      details: { file: dir, fix: "name a folder that this user may make and write, with --state" },
      cause: error,
    });
  }
}

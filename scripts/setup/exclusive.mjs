/**
 * One set-up at a time for each user of this host, so that no two install packages or start an engine at once. The lock is
 * a socket in Linux's abstract namespace: the kernel frees it when its owner ends, however it ends.
 */
import { connect, createServer } from "node:net";

/**
 * @template T
 * @param {{ signal: AbortSignal, onWait: (pid: string) => void, name?: string }} options
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function exclusively(
  { signal, onWait, name = `sallyport-setup-${process.getuid?.() ?? 0}` },
  work,
) {
  if (process.platform !== "linux") return work();
  const path = `\0${name}`;
  let told = false;
  const tell = (pid) => {
    if (!told) onWait(pid);
    told = true;
  };
  let server = await listen(path);
  while (server === undefined) {
    signal.throwIfAborted();
    await waitForOwner(path, signal, tell);
    server = await listen(path);
  }
  try {
    return await work();
  } finally {
    server.release();
  }
}

/** Resolves with undefined when somebody else listens. */
function listen(path) {
  const waiting = new Set();
  const server = createServer((socket) => {
    waiting.add(socket);
    socket.on("close", () => waiting.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.unref();
    socket.write(`${process.pid}\n`);
  });
  return new Promise((resolve, reject) => {
    server.once("error", (error) => (error.code === "EADDRINUSE" ? resolve(undefined) : reject(error)));
    server.listen(path, () => {
      server.unref();
      resolve({
        release: () => {
          server.close();
          for (const socket of waiting) socket.destroy();
        },
      });
    });
  });
}

/** Resolves when the owner let go: its end of the connection closes. */
function waitForOwner(path, signal, tell) {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const onAbort = () => socket.destroy(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    let refused = false;
    socket.setEncoding("utf8");
    socket.on("data", (pid) => tell(pid.trim()));
    socket.on("error", () => (refused = true));
    socket.on("close", () => {
      signal.removeEventListener("abort", onAbort);
      if (signal.aborted) reject(signal.reason);
      else setTimeout(resolve, refused ? 50 : 0);
    });
  });
}

/** What the ways to the engine that tests put before it have in common. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import type { Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface EngineDoor extends AsyncDisposable {
  /** For `DOCKER_HOST` */
  readonly address: string;
}

/** Has `server` listen on a socket in a folder of its own; both go with the door. */
export async function openDoor(server: Server): Promise<EngineDoor> {
  const folder = await mkdtemp(join(tmpdir(), "sallyport-engine-"));
  const path = join(folder, "engine.sock");
  server.listen(path);
  await once(server, "listening");
  return {
    address: `unix://${path}`,
    async [Symbol.asyncDispose]() {
      server.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** Carries each one's bytes to the other until one of them closes; both are in `open` as long as they are. */
export function joinSockets(near: Socket, far: Socket, open: Set<Socket>): void {
  for (const [one, other] of [
    [near, far],
    [far, near],
  ] as const) {
    open.add(one);
    one.on("error", () => other.destroy());
    one.on("close", () => {
      open.delete(one);
      other.destroy();
    });
    one.pipe(other);
  }
}

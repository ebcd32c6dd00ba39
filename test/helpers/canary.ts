/**
 * Listeners on the host that must never be reached from a sandbox. Each answers with a random token, so a reply proves
 * that they were reached, and each notes whoever comes.
 */
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";

export interface Touch {
  listener: string;
  from: string;
}

export class Canary implements AsyncDisposable {
  readonly token = randomBytes(16).toString("hex");
  readonly touches: Touch[] = [];
  readonly tcpPorts: number[] = [];
  readonly udpPorts: number[] = [];
  readonly abstractName = `sallyport-canary-${randomBytes(8).toString("hex")}`;
  readonly #folder: string;
  readonly #parts = new AsyncDisposableStack();

  private constructor(folder: string) {
    this.#folder = folder;
    this.#parts.defer(() => rm(folder, { recursive: true, force: true }));
  }

  /** TCP and UDP on random ports of every address, v4 and v6; a UNIX socket; an abstract one. */
  static async start(): Promise<Canary> {
    const canary = new Canary(await mkdtemp(join(tmpdir(), "sallyport-canary-")));
    for (const host of ["0.0.0.0", "0.0.0.0", "::"]) {
      canary.tcpPorts.push(await canary.#listen({ host, port: 0 }, `tcp ${host}`));
      canary.udpPorts.push(await canary.#listenUdp(host));
    }
    await canary.#listen({ path: canary.socketPath }, "unix");
    await canary.#listen({ path: `\0${canary.abstractName}` }, "abstract");
    return canary;
  }

  get socketPath(): string {
    return join(this.#folder, "canary.sock");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts[Symbol.asyncDispose]();
  }

  async #listen(at: { host: string; port: number } | { path: string }, name: string): Promise<number> {
    const open = new Set<Socket>();
    const server = createServer((socket) => {
      open.add(socket);
      socket.on("close", () => open.delete(socket));
      socket.on("error", () => socket.destroy());
      this.touches.push({ listener: name, from: socket.remoteAddress ?? "local" });
      socket.end(this.token);
    });
    server.listen("host" in at ? { ...at, ipv6Only: at.host === "::" } : at);
    await once(server, "listening");
    this.#parts.defer(async () => {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    });
    return (server.address() as AddressInfo).port;
  }

  async #listenUdp(host: string): Promise<number> {
    const socket = createSocket({ type: host === "::" ? "udp6" : "udp4", ipv6Only: host === "::" });
    socket.on("message", (_bytes, from) => {
      this.touches.push({ listener: `udp ${host}`, from: from.address });
      socket.send(this.token, from.port, from.address);
    });
    socket.bind(0, host);
    await once(socket, "listening");
    this.#parts.defer(() => void socket.close());
    return socket.address().port;
  }
}

/** Every address of this host, without the scope of link-local ones. */
export function hostAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((entries) =>
    (entries ?? []).map(({ address }) => address),
  );
}

/** Stands between a store and its PostgreSQL, and cuts a connection around one COMMIT, or has somebody die around one write. */
import { createServer, connect, type Server, type Socket } from "node:net";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import type { PostgresServer } from "./postgres.ts";

/** `before`: the server never sees it · `after`: the server carries it out, and nobody hears of it */
export type Cut = "before" | "after";

/** The `at`-th write to the server from now on, counted from 1: what dies with it dies before the server sees it, or once it answers. */
export interface CrashPoint {
  at: number;
  when: Cut;
  die: () => void;
}

const socketName = ".s.PGSQL.5432";

export class CommitProxy implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), "sallyport-cut-"));
  readonly #upstream: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #armed: Cut | undefined;
  #dies: (() => void) | undefined;
  #crash: CrashPoint | undefined;
  cuts = 0;
  /** who comes is sent away */
  isShut = false;

  private constructor(server: PostgresServer) {
    this.#upstream = join(server.dir, socketName);
    this.#server = createServer((near) => this.#join(near));
  }

  static async start(server: PostgresServer): Promise<CommitProxy> {
    const proxy = new CommitProxy(server);
    proxy.#server.listen(join(proxy.dir, socketName));
    await once(proxy.#server, "listening");
    return proxy;
  }

  get url(): string {
    return `postgres://sallyport@localhost/postgres?host=${encodeURIComponent(this.dir)}`;
  }

  /** The next COMMIT is cut. */
  arm(cut: Cut): void {
    this.#armed = cut;
  }

  /** The next COMMIT is kept from the server, which dies over it. */
  killAtCommit(die: () => void): void {
    this.#dies = die;
  }

  /** Whoever asks for it must still write so much. */
  crash(point: CrashPoint): void {
    this.#crash = { ...point };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** The crash this write is the point of */
  #crashOf(): CrashPoint | undefined {
    const crash = this.#crash;
    if (crash === undefined) return undefined;
    crash.at -= 1;
    if (crash.at > 0) return undefined;
    this.#crash = undefined;
    return crash;
  }

  #join(near: Socket): void {
    if (this.isShut) {
      near.on("error", () => undefined).destroy();
      return;
    }
    const far = connect(this.#upstream);
    const end = (): void => {
      near.destroy();
      far.destroy();
    };
    let silenced = false;
    for (const socket of [near, far]) {
      this.#sockets.add(socket);
      socket.on("error", end).on("close", () => {
        this.#sockets.delete(socket);
        end();
      });
    }
    near.on("data", (data) => {
      const crash = this.#crashOf();
      if (crash?.when === "before") return crash.die();
      if (crash !== undefined) {
        silenced = true;
        far.once("data", crash.die);
      }
      const commits = data.includes("COMMIT\0");
      const dies = commits ? this.#dies : undefined;
      if (dies !== undefined) {
        this.#dies = undefined;
        return dies();
      }
      const cut = commits ? this.#armed : undefined;
      if (cut !== undefined) {
        this.#armed = undefined;
        this.cuts += 1;
      }
      if (cut === "before") return end();
      silenced ||= cut === "after";
      far.write(data);
    });
    far.on("data", (data) => {
      if (silenced) end();
      else near.write(data);
    });
  }
}

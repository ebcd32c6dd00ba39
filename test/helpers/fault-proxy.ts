/** A TCP go-between that can be told to break connections the ways networks do. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

interface Pair {
  near: Socket;
  far: Socket;
}

/** Which way bytes silently stop: to the dialler, to the far end, or both */
export type Stall = "down" | "up" | "both";

export class FaultProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #target: () => number;
  #refusing = false;
  /** connections accepted so far */
  accepted = 0;

  private constructor(target: () => number) {
    this.#target = target;
    this.#server = createServer((near) => this.#join(near));
  }

  /** Listens on a free loopback port; connections go to the port `target` names at that moment. */
  static async start(target: () => number): Promise<FaultProxy> {
    const proxy = new FaultProxy(target);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Ends what is open, by FIN or by RST; further connections go through. */
  cut(how: "fin" | "reset"): void {
    for (const { near, far } of this.#pairs) {
      for (const end of [near, far])
        if (how === "reset") end.resetAndDestroy();
        else end.destroy();
    }
  }

  /** What is open stays so and carries nothing any more; further connections go through. */
  stall(way: Stall): void {
    for (const { near, far } of this.#pairs) {
      if (way !== "down") near.unpipe(far).pause();
      if (way !== "up") far.unpipe(near).pause();
    }
  }

  /** Until `heal`, nothing gets through, neither by open connections nor by further ones. */
  partition(): void {
    this.#refusing = true;
    this.stall("both");
  }

  /** Further connections go through again. */
  heal(): void {
    this.#refusing = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut("reset");
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
  }

  #join(near: Socket): void {
    this.accepted += 1;
    const ignored = (): void => undefined;
    near.on("error", ignored);
    if (this.#refusing) {
      near.resetAndDestroy();
      return;
    }
    const far = connect(this.#target(), "127.0.0.1").on("error", ignored);
    const pair = { near, far };
    this.#pairs.add(pair);
    near.pipe(far);
    far.pipe(near);
    near.once("close", () => far.destroy());
    far.once("close", () => {
      near.destroy();
      this.#pairs.delete(pair);
    });
  }
}

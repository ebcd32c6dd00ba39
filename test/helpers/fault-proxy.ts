/** A TCP go-between that can be told to break connections the ways networks do. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { Transform, type TransformCallback } from "node:stream";

interface Pair {
  near: Socket;
  far: Socket;
  /** it is a UNIX socket */
  farIsLocal: boolean;
  /** the first bytes the dialler sent */
  opening: Buffer[];
}

/** bytes of a conversation's beginning that `duplicate` can say again */
const openingBytes = 64 * 1024;
/** between two pieces of a slow connection, `ms` */
const paceMs = 50;

/** A port on loopback, or the path of a UNIX socket */
export type Target = number | string;

/** Which way bytes silently stop: to the dialler, to the far end, or both */
export type Stall = "down" | "up" | "both";

export class FaultProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #target: () => Target;
  readonly #ghosts = new Set<Socket>();
  #refusing = false;
  #bytesPerSecond: number | undefined;
  /** connections accepted so far */
  accepted = 0;

  private constructor(target: () => Target) {
    this.#target = target;
    this.#server = createServer((near) => this.#join(near));
  }

  /** Listens on a free loopback port; connections go where `target` says at that moment. */
  static async start(target: () => Target): Promise<FaultProxy> {
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
    for (const { near, far, farIsLocal } of this.#pairs) {
      for (const end of [near, far])
        // a UNIX socket knows no RST
        if (how === "reset" && !(end === far && farIsLocal)) end.resetAndDestroy();
        else end.destroy();
    }
  }

  /** What is open stays so and carries nothing any more; further connections go through. */
  stall(way: Stall): void {
    for (const { near, far } of this.#pairs) {
      if (way !== "down") near.unpipe().pause();
      if (way !== "up") far.unpipe().pause();
    }
  }

  /** Until `heal`, nothing gets through, neither by open connections nor by further ones. */
  partition(): void {
    this.#refusing = true;
    this.stall("both");
  }

  /** From here on further connections carry this many bytes per second each way, until `heal`. */
  slow(bytesPerSecond: number): void {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Connects once more for everybody that is connected and says again how each began, deaf to the answers, until `heal`. */
  duplicate(): void {
    for (const { opening } of this.#pairs) {
      const ghost = this.#connect().on("error", () => undefined);
      this.#ghosts.add(ghost);
      ghost.resume().once("close", () => this.#ghosts.delete(ghost));
      for (const bytes of opening) ghost.write(bytes);
    }
  }

  /** Further connections go through again, at full speed. */
  heal(): void {
    this.#refusing = false;
    this.#bytesPerSecond = undefined;
    for (const ghost of this.#ghosts) ghost.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.heal();
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
    const far = this.#connect().on("error", ignored);
    const pair: Pair = { near, far, farIsLocal: typeof this.#target() === "string", opening: [] };
    this.#pairs.add(pair);
    this.#carry(near, far);
    this.#carry(far, near);
    let kept = 0;
    near.on("data", (bytes: Buffer) => {
      if (kept < openingBytes) pair.opening.push(bytes);
      kept += bytes.length;
    });
    near.once("close", () => far.destroy());
    far.once("close", () => {
      near.destroy();
      this.#pairs.delete(pair);
    });
  }

  #connect(): Socket {
    const target = this.#target();
    return typeof target === "string" ? connect(target) : connect(target, "127.0.0.1");
  }

  #carry(from: Socket, to: Socket): void {
    if (this.#bytesPerSecond === undefined) from.pipe(to);
    else from.pipe(new Pace(this.#bytesPerSecond)).pipe(to);
  }
}

/** Lets so many bytes per second through, in small pieces. */
class Pace extends Transform {
  readonly #piece: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(bytesPerSecond: number) {
    super({ highWaterMark: 16 * 1024 });
    this.#piece = Math.max(1, Math.round((bytesPerSecond * paceMs) / 1_000));
  }

  override _transform(bytes: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.push(bytes.subarray(0, this.#piece));
    const rest = bytes.subarray(this.#piece);
    this.#timer = setTimeout(() => {
      if (rest.length === 0) done();
      else this._transform(rest, _encoding, done);
    }, paceMs);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#timer);
    done(error);
  }
}

import { Worker } from "node:worker_threads";
import { deferred, type Deferred } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import { fromThrown } from "./errors.ts";
import type { Call, FromThread, Operations, Reply, ToThread } from "./rpc.ts";

interface ThreadOptions {
  entry: URL;
  data: unknown;
}

/** The near end of a store's thread. Calls made in one turn of the event loop travel together and are answered in order. */
export class Thread<Ops extends Operations> implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #log: Log;
  readonly #ready = deferred<void>();
  readonly #gone = deferred<void>();
  readonly #pending = new Map<number, Deferred<unknown>>();
  #outbox: Call[] = [];
  #buffers: ArrayBuffer[] = [];
  #nextId = 1;
  #over: SallyportError | undefined;

  private constructor(deps: { log: Log }, options: ThreadOptions) {
    this.#log = deps.log;
    this.#worker = new Worker(options.entry, { workerData: options.data });
    this.#worker.on("message", (message: FromThread) => this.#receive(message));
    this.#worker.on("error", (error) => {
      this.#log.error({ err: error }, "a thread of the store broke down");
      this.#fail(new SallyportError("store_unavailable", "store: its thread broke down", { cause: error }));
    });
    this.#worker.on("exit", () => {
      this.#fail(new SallyportError("store_unavailable", "store: it is closed"));
      this.#gone.resolve();
    });
  }

  /** Resolves when the thread has its connection; rejects with why it cannot have one. */
  static async start<Ops extends Operations>(
    deps: { log: Log },
    options: ThreadOptions,
  ): Promise<Thread<Ops>> {
    const thread = new Thread<Ops>(deps, options);
    try {
      await thread.#ready.promise;
      return thread;
    } catch (error) {
      await thread.abort();
      throw error;
    }
  }

  /** `bytes`: buffers inside `args` that are given away, and can no longer be used here. */
  call<Name extends keyof Ops & string>(
    op: Name,
    args: Parameters<Ops[Name]>[1],
    bytes: readonly Uint8Array<ArrayBuffer>[] = [],
  ): Promise<ReturnType<Ops[Name]>> {
    if (this.#over !== undefined) return Promise.reject(this.#over);
    const answer = deferred<unknown>();
    const id = this.#nextId;
    this.#nextId += 1;
    this.#pending.set(id, answer);
    if (this.#outbox.length === 0) process.nextTick(() => this.#flush());
    this.#outbox.push({ id, op, args });
    for (const part of bytes) this.#buffers.push(part.buffer);
    return answer.promise as Promise<ReturnType<Ops[Name]>>;
  }

  /** Ends the thread where it stands, as the death of the process would. */
  async abort(): Promise<void> {
    this.#fail(new SallyportError("store_unavailable", "store: it was aborted"));
    await this.#worker.terminate();
    await this.#gone.promise;
  }

  /** Everything asked for so far is answered first. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#over === undefined) {
      this.#flush();
      this.#over = new SallyportError("store_unavailable", "store: it is closed");
      this.#worker.postMessage("close" satisfies ToThread);
    }
    await this.#gone.promise;
  }

  #flush(): void {
    const calls = this.#outbox;
    if (calls.length === 0) return;
    const buffers = this.#buffers;
    this.#outbox = [];
    this.#buffers = [];
    this.#worker.postMessage({ calls, buffers } satisfies ToThread, buffers);
  }

  #receive(message: FromThread): void {
    if ("ready" in message) this.#ready.resolve();
    else if ("failed" in message) this.#ready.reject(fromThrown(message.failed));
    else message.replies.forEach((reply) => this.#settle(reply));
  }

  #settle(reply: Reply): void {
    const answer = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if ("error" in reply) answer?.reject(fromThrown(reply.error));
    else answer?.resolve(reply.value);
  }

  #fail(error: SallyportError): void {
    this.#over ??= error;
    this.#ready.reject(error);
    this.#outbox = [];
    this.#buffers = [];
    for (const answer of this.#pending.values()) answer.reject(error);
    this.#pending.clear();
  }
}

/** A copy of the pieces in one buffer of its own, which can be given to a thread while the caller keeps what it has. */
export function ownCopy(...pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const copy = Buffer.allocUnsafeSlow(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    copy.set(piece, at);
    at += piece.length;
  }
  return copy;
}

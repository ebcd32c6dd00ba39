/** How many sandboxes this worker has, and how much memory they are promised. */
import PQueue from "p-queue";
import { abortable, Notifier, throwIfAborted } from "../async/index.ts";
import type { RejectReason } from "../protocol/index.ts";

export interface Capacity {
  slots: number;
  /** bytes */
  memory: number;
}

/** A place that was promised to a lease. */
export interface Ticket {
  /** Waits for a slot and memory that a sandbox being removed still holds. Rejects with the signal's reason. */
  enter(signal: AbortSignal): Promise<Disposable>;
  /** The command is over: the place may be promised again while its sandbox is being removed. */
  over(): void;
}

/**
 * Promises are made against commands that run, slots are given against sandboxes that exist: an offer that comes while an
 * ended job's sandbox is being removed is accepted and waits that moment, and there are never more sandboxes than slots.
 */
export class Admission {
  readonly #total: Capacity;
  readonly #queue: PQueue;
  readonly #freed = new Notifier();
  #promised: Capacity = { slots: 0, memory: 0 };
  #memoryHeld = 0;
  #onFreed: () => void = () => undefined;

  constructor(total: Capacity) {
    this.#total = total;
    this.#queue = new PQueue({ concurrency: Math.max(1, total.slots) });
  }

  /** What can still be promised */
  get free(): Capacity {
    return {
      slots: this.#total.slots - this.#promised.slots,
      memory: this.#total.memory - this.#promised.memory,
    };
  }

  /** bytes that no job was promised and no job's sandbox has: what is made ahead may use them */
  get spareMemory(): number {
    return this.#total.memory - Math.max(this.#promised.memory, this.#memoryHeld);
  }

  /** Called when a sandbox gave back what it had. One listener. */
  onFreed(listener: () => void): void {
    this.#onFreed = listener;
  }

  refuse(memory: number): Extract<RejectReason, "no_slot" | "no_memory"> | undefined {
    if (this.free.slots < 1) return "no_slot";
    return memory > this.free.memory ? "no_memory" : undefined;
  }

  admit(memory: number): Ticket {
    this.#promise(1, memory);
    let over = false;
    return {
      enter: (signal) => this.#enter(memory, signal),
      over: () => {
        if (!over) this.#promise(-1, -memory);
        over = true;
      },
    };
  }

  #promise(slots: number, memory: number): void {
    this.#promised = { slots: this.#promised.slots + slots, memory: this.#promised.memory + memory };
  }

  /** A task of the queue is a slot in use; it ends when the slot is given back, whatever became of `signal`. */
  async #enter(memory: number, signal: AbortSignal): Promise<Disposable> {
    const entered = Promise.withResolvers<Disposable>();
    const left = Promise.withResolvers<void>();
    const task = this.#queue.add(async () => {
      await this.#reserve(memory, signal);
      entered.resolve({ [Symbol.dispose]: () => left.resolve() });
      await left.promise;
      this.#memoryHeld -= memory;
      this.#freed.notify();
      this.#onFreed();
    });
    task.catch((error: unknown) => entered.reject(error));
    try {
      return await abortable(entered.promise, signal);
    } catch (error) {
      entered.promise.then(
        (slot) => slot[Symbol.dispose](),
        () => undefined,
      );
      throw error;
    }
  }

  async #reserve(memory: number, signal: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    while (this.#memoryHeld + memory > this.#total.memory) await this.#freed.wait(signal);
    this.#memoryHeld += memory;
  }
}

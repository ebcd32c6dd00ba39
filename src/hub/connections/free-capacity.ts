/** What is free on one worker, kept current between its heartbeats. */

export interface Capacity {
  slots: number;
  /** bytes */
  memory: number;
}

export class FreeCapacity {
  readonly #capacity: Capacity;
  #slots: number;
  #memory: number;

  constructor(capacity: Capacity) {
    this.#capacity = { slots: capacity.slots, memory: capacity.memory };
    this.#slots = capacity.slots;
    this.#memory = capacity.memory;
  }

  get slots(): number {
    return Math.max(0, this.#slots);
  }

  get memory(): number {
    return Math.max(0, this.#memory);
  }

  /** The worker's own word; what it accepted before it said so is in it. */
  reported(free: Capacity): void {
    this.#slots = Math.min(free.slots, this.#capacity.slots);
    this.#memory = Math.min(free.memory, this.#capacity.memory);
  }

  /** It accepted a job whose sandbox takes `memory` bytes. */
  taken(memory: number): void {
    this.#slots -= 1;
    this.#memory -= memory;
  }

  /** A job of that size ended. */
  returned(memory: number): void {
    this.#slots = Math.min(this.#slots + 1, this.#capacity.slots);
    this.#memory = Math.min(this.#memory + memory, this.#capacity.memory);
  }

  /** It said that it has no room, whatever we thought. */
  exhausted(): void {
    this.#slots = 0;
  }
}

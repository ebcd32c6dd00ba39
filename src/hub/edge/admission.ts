/** How many connections there may be, altogether and from one address. */
export interface EdgeCaps {
  connections: number;
  perSource: number;
}

export class EdgeAdmission {
  readonly #caps: EdgeCaps;
  readonly #bySource = new Map<string, number>();
  #total = 0;

  constructor(caps: EdgeCaps) {
    this.#caps = caps;
  }

  /** Dispose what it returns when the connection is over; undefined when there is no room. */
  admit(source: string): Disposable | undefined {
    const held = this.#bySource.get(source) ?? 0;
    if (this.#total >= this.#caps.connections || held >= this.#caps.perSource) return undefined;
    this.#total += 1;
    this.#bySource.set(source, held + 1);
    return { [Symbol.dispose]: () => this.#leave(source) };
  }

  #leave(source: string): void {
    const held = (this.#bySource.get(source) ?? 1) - 1;
    this.#total -= 1;
    if (held === 0) this.#bySource.delete(source);
    else this.#bySource.set(source, held);
  }
}

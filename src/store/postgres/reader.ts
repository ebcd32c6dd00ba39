import { SallyportError } from "../../errors.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";
import { isLoss, storeError } from "./errors.ts";

interface Slot {
  connection: Promise<Connection> | undefined;
  busy: number;
}

/** The connections that only read. Each read is one statement, so it sees one moment; a lost one is made again. */
export class Reader implements AsyncDisposable {
  readonly #options: ConnectionOptions;
  readonly #slots: Slot[];
  #over: SallyportError | undefined;

  constructor(options: ConnectionOptions & { connections: number }) {
    this.#options = options;
    this.#slots = Array.from({ length: options.connections }, () => ({ connection: undefined, busy: 0 }));
  }

  async read<T>(query: (connection: Connection) => Promise<T>): Promise<T> {
    if (this.#over !== undefined) throw this.#over;
    const slot = this.#slots.reduce((least, next) => (next.busy < least.busy ? next : least));
    slot.busy += 1;
    try {
      return await this.#readOn(slot, query);
    } catch (error) {
      throw this.#over ?? storeError(error);
    } finally {
      slot.busy -= 1;
    }
  }

  /** Ends the connections where they stand. */
  async abort(): Promise<void> {
    this.#over ??= new SallyportError("store_unavailable", "store: it was aborted");
    for (const connection of await this.#open()) connection.cut();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over ??= new SallyportError("store_unavailable", "store: it is closed");
    for (const connection of await this.#open()) await connection[Symbol.asyncDispose]();
  }

  async #readOn<T>(slot: Slot, query: (connection: Connection) => Promise<T>): Promise<T> {
    const fresh = slot.connection === undefined;
    const connection = await this.#connected(slot);
    try {
      return await query(connection);
    } catch (error) {
      if (!connection.lost && !isLoss(error)) throw error;
      connection.cut();
      if (fresh || this.#over !== undefined) throw error;
    }
    return await query(await this.#connected(slot));
  }

  /** Whoever finds it lost first opens the next one, for all who wait. */
  async #connected(slot: Slot): Promise<Connection> {
    const current = slot.connection;
    const known = await current?.catch(() => undefined);
    if (known?.lost === false) return known;
    if (this.#over !== undefined) throw this.#over;
    if (slot.connection === current) slot.connection = undefined;
    slot.connection ??= Connection.open(this.#options);
    return await slot.connection;
  }

  async #open(): Promise<Connection[]> {
    const opened = await Promise.allSettled(this.#slots.flatMap(({ connection }) => connection ?? []));
    return opened.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  }
}

import { Client, types, type QueryResult } from "pg";
import { gatherWrites } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import { storeError } from "./errors.ts";
import type { Statement, Value } from "./statement.ts";

export interface ConnectionOptions {
  /** `postgres://…`; holds the password */
  url: string;
  /** schema of the tables */
  schema: string;
  /** shown in `pg_stat_activity` */
  name: string;
  /** `ms` one statement may take; 15,000 by default */
  statementMs?: number;
}

const connectMs = 5_000;
/** by how much an answer may be later than the server's own limit, `ms`; a connection that is silent for longer is given up */
export const lateMs = 2_000;
const idleInTransactionMs = 10_000;
const lockMs = 5_000;

/**
 * Plans do not hang on statistics: these tables grow and shrink faster than any are taken, and every statement has its index. A plan made
 * while a table is empty is kept, and would hash the table once it is not: joins go from what a call names to its index.
 * An operator's `synchronous_commit` counts, except for `off`, which would lose what was acknowledged.
 */
const settings = `
SELECT set_config('search_path', $1, false), set_config('enable_seqscan', 'off', false),
       set_config('enable_hashjoin', 'off', false), set_config('enable_mergejoin', 'off', false),
       set_config('enable_incremental_sort', 'off', false),
       set_config('plan_cache_mode', 'force_generic_plan', false), set_config('jit', 'off', false),
       CASE current_setting('synchronous_commit')
         WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END,
       pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS "readOnly"`;

/** One connection. Statements are sent as they come, without waiting for the ones before; they are answered in order. */
export class Connection implements AsyncDisposable {
  readonly #client: Client;
  #lost = false;

  private constructor(client: Client) {
    this.#client = client;
    // Whoever waits for an answer is told; a connection that breaks while idle is found out by its next user.
    for (const event of ["error", "end"] as const) client.on(event, () => (this.#lost = true));
  }

  /** Throws `store_unavailable` when there is no database that takes writes at the other end. */
  static async open(options: ConnectionOptions): Promise<Connection> {
    const client = new Client({
      connectionString: options.url,
      application_name: options.name,
      connectionTimeoutMillis: connectMs,
      statement_timeout: options.statementMs ?? 15_000,
      query_timeout: (options.statementMs ?? 15_000) + lateMs,
      lock_timeout: lockMs,
      idle_in_transaction_session_timeout: idleInTransactionMs,
      keepAlive: true,
      keepAliveInitialDelayMillis: 5_000,
      pipeline: true,
    });
    client.setTypeParser(types.builtins.INT8, Number);
    const connection = new Connection(client);
    try {
      await client.connect();
      const { rows } = await client.query<{ readOnly: boolean }>(settings, [options.schema]);
      if (rows[0]?.readOnly === true) throw notWritable();
      return connection;
    } catch (error) {
      connection.cut();
      throw storeError(error);
    }
  }

  /** The connection is over, or about to be. */
  get lost(): boolean {
    return this.#lost || this.#client.connection.stream.destroyed;
  }

  async run<Row extends object>(statement: Statement, values: readonly Value[] = []): Promise<Row[]> {
    const { name, text } = statement;
    gatherWrites(this.#client.connection.stream);
    const { rows } = await this.#client.query<Row>({ name, text, values: [...values] });
    return rows;
  }

  /** A statement whose text is made for the occasion. */
  async ask<Row extends object>(text: string, values: readonly Value[] = []): Promise<Row[]> {
    gatherWrites(this.#client.connection.stream);
    const { rows } = await this.#client.query<Row>(text, [...values]);
    return rows;
  }

  /** Any number of statements without values. Resolves with the command the server says it carried out last. */
  async script(text: string): Promise<string> {
    gatherWrites(this.#client.connection.stream);
    const results: unknown = await this.#client.query(text);
    const last = (Array.isArray(results) ? results.at(-1) : results) as QueryResult;
    return last.command;
  }

  onNotification(listener: (payload: string) => void): void {
    this.#client.on("notification", ({ payload = "" }) => listener(payload));
  }

  onEnd(listener: () => void): void {
    this.#client.on("end", listener);
  }

  /** Ends it where it stands; what waits for an answer is rejected. */
  cut(): void {
    this.#lost = true;
    this.#client.connection.stream.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#lost) return;
    this.#lost = true;
    await this.#client.end();
  }
}

function notWritable(): SallyportError {
  return new SallyportError("store_unavailable", "store: the database takes no writes, it is a standby", {
    details: { fix: "let the URL name the primary; after a failover this passes by itself" },
  });
}

import {
  DatabaseSync,
  type SQLInputValue,
  type StatementResultingChanges,
  type StatementSync,
} from "node:sqlite";

export type Param = SQLInputValue;

/** The first row, where there is one. */
type Found<Row> = Row | undefined;

/** One connection with its prepared statements. Rows come as the caller's `Row`; the SQL and the type stand side by side. */
export class Db implements Disposable {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #writes = 0;

  private constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /** The one connection that writes. Nothing it commits is told before it is synced to disk. */
  static writer(path: string, options: { maxBytes: number }): Db {
    const db = new Db(new DatabaseSync(path, { timeout: 5_000 }));
    try {
      db.exec("PRAGMA page_size = 8192");
      db.exec("PRAGMA auto_vacuum = INCREMENTAL");
      db.exec("PRAGMA journal_mode = WAL");
      db.exec("PRAGMA synchronous = FULL");
      db.exec("PRAGMA wal_autocheckpoint = 2000");
      db.exec(`PRAGMA journal_size_limit = ${64 * 2 ** 20}`);
      db.exec(`PRAGMA cache_size = -${16 * 2 ** 10}`);
      db.exec("PRAGMA temp_store = MEMORY");
      db.exec("PRAGMA trusted_schema = OFF");
      const pageSize = db.pragma("page_size");
      db.exec(`PRAGMA max_page_count = ${Math.min(Math.ceil(options.maxBytes / pageSize), 0xfffffffe)}`);
      return db;
    } catch (error) {
      db[Symbol.dispose]();
      throw error;
    }
  }

  /** A connection that sees what was committed when its transaction began. */
  static reader(path: string): Db {
    const db = new Db(new DatabaseSync(path, { readOnly: true, timeout: 5_000 }));
    db.exec(`PRAGMA cache_size = -${8 * 2 ** 10}`);
    db.exec("PRAGMA trusted_schema = OFF");
    return db;
  }

  get<Row>(sql: string, ...params: Param[]): Found<Row> {
    return this.#prepare(sql).get(...params) as Found<Row>;
  }

  all<Row>(sql: string, ...params: Param[]): Row[] {
    return this.#prepare(sql).all(...params) as Row[];
  }

  /** Rows one by one, for a caller that may stop early. */
  iterate<Row>(sql: string, ...params: Param[]): Iterable<Row> {
    return this.#prepare(sql).iterate(...params) as Iterable<Row>;
  }

  /** How many rows changed. */
  run(sql: string, ...params: Param[]): number {
    return Number(this.#write(sql, params).changes);
  }

  /** The rowid of the new row. */
  insert(sql: string, ...params: Param[]): number {
    return Number(this.#write(sql, params).lastInsertRowid);
  }

  /** How many statements that change something were carried out so far; one that fails changes nothing. */
  get writes(): number {
    return this.#writes;
  }

  exec(sql: string): void {
    this.#db.exec(sql);
  }

  pragma(name: string): number {
    const row = this.#db.prepare(`PRAGMA ${name}`).get();
    return Number(Object.values(row ?? {})[0]);
  }

  /** False also when SQLite gave a transaction up by itself, as it does when the disk is full. */
  get inTransaction(): boolean {
    return this.#db.isTransaction;
  }

  /** Runs `work` in one transaction; nothing of it stays when it throws. */
  transaction<T>(begin: "BEGIN" | "BEGIN IMMEDIATE", work: () => T): T {
    this.run(begin);
    try {
      const value = work();
      this.run("COMMIT");
      return value;
    } catch (error) {
      if (this.inTransaction) this.run("ROLLBACK");
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#statements.clear();
    if (this.#db.isOpen) this.#db.close();
  }

  #write(sql: string, params: Param[]): StatementResultingChanges {
    const done = this.#prepare(sql).run(...params);
    this.#writes += 1;
    return done;
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#db.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

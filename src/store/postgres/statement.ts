/** A statement the server prepares once per connection. The name stands for the text and for nothing else. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

export function statement(name: string, text: string): Statement {
  return { name, text };
}

/** What can always be sent: no statement of a group fails before it reaches the server, which would not know to roll the others back. */
export type Value = string | number | boolean | null | Uint8Array | readonly Value[];

/** Rows as one array per column, which is how a statement takes any number of them with the same text. */
export function columns(rows: readonly (readonly Value[])[], width: number): Value[][] {
  return Array.from({ length: width }, (_, column) => rows.map((row) => row[column] ?? null));
}

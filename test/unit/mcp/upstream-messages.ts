/** What an upstream says: an answer as text, and a message as an event. */
export const event = (data: string, head = ""): Buffer => Buffer.from(`${head}data: ${data}\n\n`);

export const answered = (id: unknown, result: unknown = { content: [] }): string =>
  JSON.stringify({ jsonrpc: "2.0", id, result });

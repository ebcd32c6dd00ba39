/** A reporter for `node --test` that writes the counts of the whole run as one JSON line. */
// Node loads a reporter by its default export.
// oxlint-disable-next-line import/no-default-export
export default async function* tally(events) {
  for await (const { type, data } of events) {
    // The event without a file is the one for the whole run.
    if (type === "test:summary" && data.file === undefined) {
      yield `${JSON.stringify({ ...data.counts, durationMs: data.duration_ms })}\n`;
    }
  }
}

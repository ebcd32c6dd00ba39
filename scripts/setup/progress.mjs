/** One line when a step starts and one when it ends, the same on a terminal and in a log. */

/** @param {NodeJS.WritableStream} [out] */
export function createProgress(out = process.stderr) {
  const mark = out.isTTY
    ? { start: "\u001b[2m·\u001b[0m", done: "\u001b[32m✓\u001b[0m", fail: "\u001b[31m✗\u001b[0m" }
    : plain;
  const line = (sign, step, text) => out.write(`${sign} ${step.padEnd(14)} ${text}\n`);

  return {
    /**
     * Runs `work` and tells how long it took. `work` gets `started(what)`, to be called before anything slow, and
     * returns the sentence that says what is there afterwards, or an object with that sentence as `summary`. A failure
     * after `signal` was aborted is the abort, not the step's own.
     */
    async step(name, work, signal) {
      const from = performance.now();
      const seconds = () => `${((performance.now() - from) / 1_000).toFixed(1)} s`;
      try {
        const result = await work((what) => line(mark.start, name, `${what} …`));
        line(mark.done, name, `${typeof result === "string" ? result : result.summary} (${seconds()})`);
        return result;
      } catch (error) {
        line(mark.fail, name, `${signal?.aborted ? "stopped" : "failed"} (${seconds()})`);
        throw error;
      }
    },
    note: (name, text) => line(mark.start, name, text),
  };
}

const plain = { start: "·", done: "✓", fail: "✗" };

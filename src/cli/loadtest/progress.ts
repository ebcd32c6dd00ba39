import { progressLine, type Progress } from "../../loadtest/index.ts";
import type { Output } from "../output.ts";

/** Between two lines where they scroll, in `ms` */
const lineEveryMs = 5_000;

/** On a terminal one line that changes; elsewhere one every 5 s. What cannot be printed is left out. */
export function showProgress(
  stderr: Output,
  total: number,
): { show(progress: Progress): void; clear(): Promise<void> } {
  const { columns } = stderr;
  let [last, busy] = [0, false];
  const print = (text: string): void => {
    busy = true;
    void stderr
      .write(text)
      .catch(() => undefined)
      .finally(() => (busy = false));
  };
  return {
    show: (progress) => {
      if (busy) return;
      if (columns !== undefined)
        return print(`\r\x1b[2K${progressLine(progress, total).slice(0, columns - 1)}`);
      if (progress.elapsedMs - last < lineEveryMs) return;
      last = progress.elapsedMs;
      print(`${progressLine(progress, total)}\n`);
    },
    clear: async () => {
      if (columns !== undefined) await stderr.write("\r\x1b[2K").catch(() => undefined);
    },
  };
}

/** A small load whose every byte is known, to see whether anything is lost while things under it are replaced. */
import type { Client, JobEvent } from "../../src/client/index.ts";

export interface LoadReport {
  jobs: number;
  /** what went otherwise than it should */
  faults: string[];
  /** how often a client had to open its stream again */
  resumed: number;
}

export interface Load {
  /** Lets what runs end, then tells. */
  stop(): Promise<LoadReport>;
  readonly finished: number;
}

const lines = 30;
const expected = Array.from({ length: lines }, (_, at) => `line ${at}\n`).join("");
const program = `i=0; while [ $i -lt ${lines} ]; do echo "line $i"; i=$((i+1)); sleep 0.05; done`;

/** `clients` submit and follow one job after another. */
export function startLoad(client: Client, clients: number): Load {
  const report: LoadReport = { jobs: 0, faults: [], resumed: 0 };
  const stopping = new AbortController();
  const running = Array.from({ length: clients }, async () => {
    while (!stopping.signal.aborted) {
      const fault = await one(client, () => (report.resumed += 1)).catch(String);
      if (fault !== undefined) report.faults.push(fault);
      report.jobs += 1;
    }
  });
  return {
    get finished() {
      return report.jobs;
    },
    stop: async () => {
      stopping.abort();
      await Promise.all(running);
      return report;
    },
  };
}

async function one(client: Client, onRetry: () => void): Promise<string | undefined> {
  const request = { profile: "shell", command: ["sh", "-c", program] };
  const { id, events } = await client.jobs.run(request, { onRetry });
  const read = new StreamCheck();
  for await (const event of events) read.take(event);
  const fault = read.fault(expected);
  return fault === undefined ? undefined : `${id}: ${fault}`;
}

/** What one reader saw of one job: every byte of stdout once and in its place, one end. */
class StreamCheck {
  #text = "";
  #end: string | undefined;
  #gap: string | undefined;

  take(event: JobEvent): void {
    if (event.type === "gap") this.#gap ??= "a gap was told";
    if (event.type === "finished") this.#end = `${event.result.state} (${event.result.reason})`;
    if (event.type !== "stdout") return;
    if (event.offset !== this.#text.length)
      this.#gap ??= `at ${event.offset} after ${this.#text.length} bytes`;
    this.#text += Buffer.from(event.bytes).toString("latin1");
  }

  fault(wanted: string): string | undefined {
    if (this.#end !== "succeeded (exited)") return `ended as ${this.#end ?? "nothing"}`;
    if (this.#gap !== undefined) return this.#gap;
    return this.#text === wanted ? undefined : `${this.#text.length} of ${wanted.length} bytes`;
  }
}

import { createHmac, type KeyObject } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Notifier, sleep } from "../async/index.ts";
import { SallyportError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { AuditEntry, AuditLog } from "./contract.ts";
import { holdFolder } from "../hold.ts";
import { readKey } from "./key.ts";
import type { AuditNote } from "./line.ts";
import { resume } from "./resume.ts";
import { LineWriter, type OpenFile, type Recorded } from "./writer.ts";

export interface AuditOptions {
  readonly dir: string;
  /** bytes of one file; 64 MiB by default */
  readonly maxBytes?: number;
  /** Files kept; 16 by default */
  readonly keep?: number;
  /** Entries that may wait for the disk before more are dropped; 10,000 by default */
  readonly maxWaiting?: number;
  /** How long to wait before a failed disk is tried again, in `ms`; 1,000 by default */
  readonly retryMs?: number;
  /** Opens files of lines; that of `node:fs/promises` by default */
  readonly openFile?: OpenFile;
}

/** entries of one batch; a batch costs two syncs of the disk */
const batchLimit = 1_000;

/** Between two batches, so that entries gather while many come; the first after a silence is written at once; `ms` */
const gatherMs = 25;

/**
 * Opens the log in `dir`, or begins one. Throws `state_in_use` when another process writes it. What a crash cut off is taken away and
 * noted; what does not verify is left as it is, noted, and logged.
 */
export async function openAuditLog({ log }: { log: Log }, options: AuditOptions): Promise<AuditLog> {
  const { dir, maxBytes = 64 * 2 ** 20, keep = 16, openFile } = options;
  await using stack = new AsyncDisposableStack();
  stack.use(await holdFolder(dir, "audit log"));
  const key = await readKey(dir);
  const from = await resume(dir);
  const writer = stack.use(new LineWriter(from, { dir, maxBytes, keep, openFile }));
  await writer.begin();
  const opened = new BatchedLog({ log, writer, key, owned: stack.move() }, options);
  if (from.note !== null) opened.note(from.note);
  if (from.note?.kind === "damaged") log.error(from.note, "the audit log does not verify");
  return opened;
}

interface Parts {
  readonly log: Log;
  readonly writer: LineWriter;
  readonly key: KeyObject;
  readonly owned: AsyncDisposable;
}

class BatchedLog implements AuditLog {
  readonly #parts: Parts;
  readonly #maxWaiting: number;
  readonly #retryMs: number;
  readonly #closing = new AbortController();
  readonly #attempted = new Notifier();
  readonly #waiting: Recorded[] = [];
  /** Those of them whose arguments came in this turn, with these: a view of a whole body, which does not wait for the disk */
  #undigested: (readonly [Recorded, AuditEntry, Uint8Array])[] = [];
  /** The first of those waiting that are being written */
  #inFlight = 0;
  #recorded = 0;
  #kept = 0;
  #running: Promise<void> | undefined;
  /** Ends the wait for more entries */
  #hurry = (): void => undefined;
  #failed: SallyportError | null = null;
  #lost = 0;

  constructor(parts: Parts, { maxWaiting = 10_000, retryMs = 1_000 }: AuditOptions) {
    this.#parts = parts;
    this.#maxWaiting = maxWaiting;
    this.#retryMs = retryMs;
  }

  get failed(): SallyportError | null {
    return this.#failed;
  }

  get lost(): number {
    return this.#lost;
  }

  record(entry: AuditEntry, args?: Uint8Array): void {
    const full = this.#waiting.length >= this.#maxWaiting;
    if (full || this.#closing.signal.aborted) return this.#drop();
    const recorded = this.note(entry);
    if (args === undefined) return;
    // the caller of a tool waits for its reply, which need not wait for this
    if (this.#undigested.length === 0) setImmediate(() => this.#digest());
    this.#undigested.push([recorded, entry, args]);
  }

  note(entry: AuditEntry | AuditNote): Recorded {
    const recorded = { at: Date.now(), entry };
    this.#waiting.push(recorded);
    this.#recorded += 1;
    this.#running ??= this.#run();
    return recorded;
  }

  async flush(): Promise<void> {
    const upTo = this.#recorded;
    while (this.#kept < upTo) {
      this.#hurry();
      if (this.#failed !== null) throw this.#failed;
      await this.#attempted.wait();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    this.#hurry();
    await this.#running;
    await this.#parts.owned[Symbol.asyncDispose]();
  }

  #digest(): void {
    for (const [recorded, entry, args] of this.#undigested) {
      const digest = createHmac("sha256", this.#parts.key).update(args).digest("hex");
      recorded.entry = { ...entry, arguments: digest };
    }
    this.#undigested = [];
  }

  /** Counts what is missing in the line that stands where it is missing. */
  #drop(): void {
    this.#lost += 1;
    const at = this.#waiting.length - 1;
    const last = at >= this.#inFlight ? this.#waiting[at] : undefined;
    const reason = this.#failed?.code ?? "too many at once";
    if (last?.entry.kind === "gap") {
      this.#waiting[at] = { at: last.at, entry: { ...last.entry, lost: last.entry.lost + 1 } };
    } else if (!this.#closing.signal.aborted) {
      this.note({ kind: "gap", lost: 1, reason });
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    await nextTurn();
    while (this.#waiting.length > 0) {
      const failure = await this.#attempt();
      this.#attempted.notify();
      if (signal.aborted && failure !== null) break;
      if (failure === null) await this.#gather();
      else await sleep(this.#retryMs, signal).catch(() => undefined);
    }
    this.#running = undefined;
  }

  async #gather(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, gatherMs);
      this.#hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #attempt(): Promise<SallyportError | null> {
    const { writer, log } = this.#parts;
    this.#digest();
    const batch = this.#waiting.slice(0, batchLimit);
    this.#inFlight = batch.length;
    try {
      await writer.settle();
      await writer.write(batch);
      this.#waiting.splice(0, batch.length);
      this.#kept += batch.length;
      this.#inFlight = 0;
      await writer.settle();
      if (this.#failed !== null) log.warn({ lost: this.#lost }, "the audit log is written again");
      this.#failed = null;
    } catch (error) {
      const first = this.#failed === null;
      this.#failed = diskError(error);
      if (first)
        log.error({ err: this.#failed }, "the audit log cannot be written; entries wait, then are counted");
    } finally {
      this.#inFlight = 0;
    }
    return this.#failed;
  }
}

function diskError(error: unknown): SallyportError {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const full = code === "ENOSPC" || code === "EDQUOT";
  const message = error instanceof Error ? error.message : String(error);
  return new SallyportError(full ? "store_full" : "store_unavailable", `the audit log: ${message}`, {
    cause: error,
  });
}

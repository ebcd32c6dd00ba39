/** A hub on a free loopback port over a real SQLite store in a temporary folder, with everything it logs kept. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createHub,
  intervalsWith,
  openKeyRing,
  type Hub,
  type HubOptions,
  type KeyRing,
} from "../../src/hub/index.ts";
import { createLog, type Log } from "../../src/log.ts";
import type { JobRequest, JobResult } from "../../src/protocol/index.ts";
import { openSqliteStore, type Store } from "../../src/store/index.ts";

export interface TestHubOptions extends Partial<HubOptions> {
  /** state of an earlier hub to go on with; a fresh one, removed at the end, without it */
  dir?: string;
  queueCap?: number;
  /** the store it works on; one in its folder without it */
  openStore?: (deps: { log: Log }) => Promise<Store>;
  /** stands between the hub and the real store */
  wrapStore?: (store: Store) => Store;
}

export interface Reply {
  status: number;
  headers: Headers;
  text: string;
  /** what a reply holds that a test looks at; empty for anything that is not JSON */
  json: {
    id: string;
    state: string;
    error: { code: string; message: string; details: Record<string, unknown> };
  };
}

export interface JobReply {
  id: string;
  state: string;
  tenant: string;
  attempts: { attempt: number; workerId: string; reason: string | null; startedAt: string | null }[];
  cancelRequested: boolean;
  result: JobResult | null;
}

export class TestHub implements AsyncDisposable {
  readonly hub: Hub;
  readonly store: Store;
  readonly keys: KeyRing;
  readonly dir: string;
  readonly adminKey: string;
  readonly workerToken: string;
  /** every line logged */
  readonly lines: string[];
  readonly #ownsDir: boolean;
  #stopping: Promise<void> | undefined;

  private constructor(
    parts: Omit<TestHub, "call" | "stop" | "submit" | "wait" | "url" | typeof Symbol.asyncDispose>,
    ownsDir: boolean,
  ) {
    this.hub = parts.hub;
    this.store = parts.store;
    this.keys = parts.keys;
    this.dir = parts.dir;
    this.adminKey = parts.adminKey;
    this.workerToken = parts.workerToken;
    this.lines = parts.lines;
    this.#ownsDir = ownsDir;
  }

  static async start(options: TestHubOptions = {}): Promise<TestHub> {
    const { dir: given, wrapStore = (store) => store, queueCap = 1_000, openStore, ...hubOptions } = options;
    const { leaseMs } = intervalsWith(hubOptions.intervals);
    const dir = given ?? (await mkdtemp(join(tmpdir(), "sallyport-hub-")));
    const lines: string[] = [];
    const log = createLog({ level: "debug", destination: { write: (line) => void lines.push(line) } });
    const keys = await openKeyRing({ log }, { dir, recheckMs: 0 });
    const store = await (openStore?.({ log }) ?? openSqliteStore({ log }, { dir, queueCap, leaseMs }));
    const hub = await createHub(
      { store: wrapStore(store), log, keys },
      { host: "127.0.0.1", port: 0, ...hubOptions },
    );
    const read = async (file: string): Promise<string> => (await readFile(join(dir, file), "utf8")).trim();
    const [adminKey, workerToken] = await Promise.all([read("admin.key"), read("worker.token")]);
    return new TestHub({ hub, store, keys, dir, adminKey, workerToken, lines }, given === undefined);
  }

  get url(): string {
    return this.hub.url;
  }

  /** One request; a `body` that is an object goes as JSON. */
  async call(path: string, init: RequestInit & { key?: string | null; json?: unknown } = {}): Promise<Reply> {
    const { key = this.adminKey, json, ...rest } = init;
    const headers = new Headers(rest.headers);
    if (key !== null) headers.set("authorization", `Bearer ${key}`);
    if (json !== undefined) headers.set("content-type", "application/json");
    const body = json === undefined ? {} : { body: JSON.stringify(json) };
    const response = await fetch(`${this.url}${path}`, { ...rest, ...body, headers });
    const text = await response.text();
    const isJson = (response.headers.get("content-type") ?? "").includes("json");
    return {
      status: response.status,
      headers: response.headers,
      text,
      json: (isJson && text !== "" ? JSON.parse(text) : {}) as Reply["json"],
    };
  }

  async submit(job: Partial<JobRequest> = {}, key = this.adminKey): Promise<JobReply> {
    const json = { profile: "shell", command: ["true"], ...job };
    const reply = await this.call("/v1/jobs", { method: "POST", json, key });
    if (reply.status !== 201) throw new Error(`submit: ${reply.status} ${reply.text}`);
    return reply.json as unknown as JobReply;
  }

  /** The job once it is over, or as it is after `wait`. */
  async wait(id: string, wait = "20s"): Promise<JobReply> {
    return (await this.call(`/v1/jobs/${id}?wait=${wait}`)).json as unknown as JobReply;
  }

  /** Stops hub and store, and keeps the state for another to go on with. */
  async stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    await this.#stopping;
  }

  async #stop(): Promise<void> {
    await this.hub[Symbol.asyncDispose]();
    await this.store[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    if (this.#ownsDir) await rm(this.dir, { recursive: true, force: true });
  }
}

/** Resolves once `look` returns something truthy; fails after `ms`. */
export async function eventually<T>(
  look: () => T | undefined | Promise<T | undefined>,
  ms = 10_000,
): Promise<T> {
  const end = performance.now() + ms;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (performance.now() > end) throw new Error(`did not happen within ${ms} ms: ${look.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export interface SeenEvent {
  id: string;
  event: string;
  data: Record<string, never> & { offset: number; text?: string; base64?: string; result: JobResult };
}

/** The events of one SSE reply, as they come. */
export async function* sseEvents(response: Response): AsyncGenerator<SeenEvent> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true });
    for (let end = text.indexOf("\n\n"); end !== -1; end = text.indexOf("\n\n")) {
      const fields = new Map(
        text
          .slice(0, end)
          .split("\n")
          .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)] as const),
      );
      text = text.slice(end + 2);
      const [id, event, data] = [fields.get("id"), fields.get("event"), fields.get("data")];
      if (id !== undefined && event !== undefined && data !== undefined) {
        yield { id, event, data: JSON.parse(data) as SeenEvent["data"] };
      }
    }
  }
}

export function bytesOf(event: SeenEvent): Buffer {
  const { text, base64 } = event.data;
  return text === undefined ? Buffer.from(base64 ?? "", "base64") : Buffer.from(text, "utf8");
}

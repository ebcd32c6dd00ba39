/**
 * Jobs over HTTP: one request each, its events in the reply. Goes through `node:http` with connections that are kept, because
 * what the generator itself costs would count as latency; and tries nothing twice, because a broken request is a failure to count.
 */
import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as TlsAgent, request as httpsRequest } from "node:https";
import { text } from "node:stream/consumers";
import { isError, SallyportError } from "../errors.ts";
import type { JobEnd, JobWatch, Target } from "./contract.ts";

export interface HubTargetDeps {
  /** Reads `text/event-stream`, one for each reply */
  parser: () => { push(bytes: Uint8Array): { event: string; data: string }[] };
  /** Reads the `data` of `finished`; throws `protocol_violation`. */
  readEnd: (data: string) => JobEnd;
  cancel: (id: string) => Promise<unknown>;
}

export interface HubTargetOptions {
  /** The hub's URL, a path in front of `/v1` included */
  url: string;
  key: string;
  /** The job, sent as JSON */
  job: unknown;
}

/** Silence after which a reply counts as lost, in `ms`; the hub sends a comment every 15 s. */
const silenceMs = 45_000;

export function createHubTarget(deps: HubTargetDeps, options: HubTargetOptions): Target & Disposable {
  return new HubTarget(deps, options);
}

class HubTarget implements Target, Disposable {
  readonly #deps: HubTargetDeps;
  readonly #url: URL;
  readonly #agent: Agent;
  readonly #headers: Record<string, string | number>;
  readonly #body: Buffer;

  constructor(deps: HubTargetDeps, { url, key, job }: HubTargetOptions) {
    this.#deps = deps;
    this.#url = new URL(`${url.replace(/\/+$/, "")}/v1/jobs`);
    this.#agent =
      this.#url.protocol === "https:" ? new TlsAgent({ keepAlive: true }) : new Agent({ keepAlive: true });
    this.#body = Buffer.from(JSON.stringify(job));
    this.#headers = {
      authorization: `Bearer ${key}`,
      accept: "text/event-stream",
      "content-type": "application/json",
      "content-length": this.#body.length,
    };
  }

  async run(watch: JobWatch, signal: AbortSignal): Promise<JobEnd> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<JobEnd>();
    const open = this.#url.protocol === "https:" ? httpsRequest : httpRequest;
    const request = open(this.#url, { method: "POST", agent: this.#agent, headers: this.#headers });
    const leave = (): void => void request.destroy(new Error("given up"));
    signal.addEventListener("abort", leave, { once: true });
    request.setTimeout(silenceMs, () => request.destroy(new Error(`silent for ${silenceMs} ms`)));
    request.once("error", reject);
    request.once("response", (response) => {
      this.#read(response, watch).then(resolve, reject);
    });
    request.end(this.#body);
    try {
      return await promise;
    } catch (error) {
      signal.throwIfAborted();
      throw isError(error) ? error : this.#broken(error);
    } finally {
      signal.removeEventListener("abort", leave);
      request.setTimeout(0);
    }
  }

  async cancel(id: string): Promise<unknown> {
    return await this.#deps.cancel(id);
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  async #read(response: IncomingMessage, watch: JobWatch): Promise<JobEnd> {
    if (response.statusCode !== 200) throw this.#refusal(response.statusCode, await text(response));
    watch.accepted(String(response.headers["x-job-id"]));
    const parser = this.#deps.parser();
    let end: JobEnd | undefined;
    for await (const chunk of response) {
      for (const { event, data } of parser.push(chunk as Buffer)) {
        watch.saw(event);
        if (event === "finished") end = this.#deps.readEnd(data);
      }
    }
    if (end !== undefined) return end;
    throw this.#broken(new Error("the events ended before the job"));
  }

  #refusal(status: number | undefined, body: string): SallyportError {
    try {
      const { error } = JSON.parse(body) as { error: { code: string; message: string } };
      return SallyportError.fromWire({ code: error.code, message: error.message });
    } catch {
      return this.#broken(new Error(`the reply is no hub's (status ${status})`));
    }
  }

  #broken(error: unknown): SallyportError {
    const reason = error instanceof Error ? error.message : String(error);
    return new SallyportError("hub_unreachable", `no answer from ${this.#url.origin}: ${reason}`, {
      cause: error,
    });
  }
}

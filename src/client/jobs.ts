import { randomUUID } from "node:crypto";
import { Backoff, sleep } from "../async/index.ts";
import { isError, SallyportError } from "../errors.ts";
import type { JobRequest, JobState } from "../protocol/index.ts";
import { followEvents, type FollowOptions, type JobEvent } from "./events.ts";
import type { Call, HubHttp } from "./http.ts";
import { upload } from "./upload.ts";
import { jobPageSchema, jobViewSchema, type JobPageView, type JobView } from "./views.ts";

export interface Waiting {
  signal?: AbortSignal | undefined;
}

export interface SubmitOptions extends Waiting {
  /** Submitting the same request again under the same key gives the same job; a random one without it */
  idempotencyKey?: string | undefined;
}

export interface ListOptions extends Waiting {
  state?: JobState | undefined;
  profile?: string | undefined;
  /** 1 to 500 */
  limit?: number | undefined;
  /** `next` of the page before */
  cursor?: string | undefined;
}

export interface OutputOptions extends Waiting {
  /** The latest without it */
  attempt?: number | undefined;
  /** First byte wanted; 0 without it */
  from?: number;
  /** Go on until the job ends instead of ending at what there is */
  follow?: boolean;
}

export interface RunningJob {
  id: string;
  /** Every event from the start, ends behind `finished`; consumed once */
  events: AsyncIterable<JobEvent>;
}

export interface ArtifactDownload {
  /** bytes */
  size: number;
  bytes: AsyncIterable<Uint8Array>;
}

export type StdinSource = string | Uint8Array | AsyncIterable<Uint8Array>;

/** tries of a submission whose connection broke, or whose hub is about to stop; its idempotency key makes them one job */
const submitTries = 6;

export class JobsClient {
  readonly #http: HubHttp;

  constructor(http: HubHttp) {
    this.#http = http;
  }

  async submit(request: JobRequest, options: SubmitOptions = {}): Promise<JobView> {
    return await this.#submitting(
      (call) => this.#http.json(jobViewSchema, "/v1/jobs", call),
      request,
      options,
    );
  }

  /** Submits and follows in one request. `options.signal` ends the submission and the events, never the job. */
  async run(request: JobRequest, options: SubmitOptions & FollowOptions = {}): Promise<RunningJob> {
    const reply = await this.#submitting(
      (call) =>
        this.#http.send("/v1/jobs", { ...call, headers: { ...call.headers, accept: "text/event-stream" } }),
      request,
      options,
    );
    const id = reply.headers["x-job-id"];
    if (typeof id !== "string") throw new SallyportError("protocol_violation", "the reply names no job");
    return { id, events: followEvents(this.#http, id, options, reply) };
  }

  /** `waitMs`: answers once the job is over, at the latest after that (at most 60 s). */
  async get(id: string, options: Waiting & { waitMs?: number } = {}): Promise<JobView> {
    const wait = options.waitMs === undefined ? undefined : `${options.waitMs}ms`;
    return await this.#http.json(jobViewSchema, path(id), { query: { wait }, signal: options.signal });
  }

  /** Newest first. */
  async list(options: ListOptions = {}): Promise<JobPageView> {
    const { signal, ...query } = options;
    return await this.#http.json(jobPageSchema, "/v1/jobs", { query, signal });
  }

  /** Idempotent; a job that is over stays as it is. */
  async cancel(id: string, options: Waiting = {}): Promise<JobView> {
    return await this.#http.json(jobViewSchema, path(id, "cancel"), { method: "POST", ...options });
  }

  /** Follows from the start, or from behind `lastEventId`. */
  events(id: string, options: FollowOptions = {}): AsyncIterable<JobEvent> {
    return followEvents(this.#http, id, options);
  }

  /** What the job printed on stdout, byte for byte. */
  async stdout(id: string, options: OutputOptions = {}): Promise<AsyncIterable<Uint8Array>> {
    return await this.#output(path(id, "stdout"), options);
  }

  /** What the job printed on stderr, byte for byte. */
  async stderr(id: string, options: OutputOptions = {}): Promise<AsyncIterable<Uint8Array>> {
    return await this.#output(path(id, "stderr"), options);
  }

  /**
   * Feeds a job submitted with `stdin: {stream: true}`, at the pace the program reads; ends its stdin unless `more`.
   * Throws `stdin_closed` when the program or the job no longer takes any.
   */
  async stdin(id: string, source: StdinSource, options: Waiting & { more?: boolean } = {}): Promise<void> {
    const target = this.#http.target(path(id, "stdin"), options.more === true ? { more: "true" } : {});
    await upload({ ...target, hub: this.#http.url, body: asBytes(source), signal: options.signal });
  }

  /** One artifact's bytes; throws `artifact_unknown`. */
  async artifact(id: string, name: string, options: Waiting = {}): Promise<ArtifactDownload> {
    const reply = await this.#http.send(path(id, "artifacts", ...name.split("/")), options);
    const size = Number(reply.headers["content-length"]);
    return { size, bytes: this.#http.bytes(reply, options.signal) };
  }

  async #output(where: string, options: OutputOptions): Promise<AsyncIterable<Uint8Array>> {
    const { attempt, from = 0, follow = false, signal } = options;
    const query = { attempt, ...(follow && { follow: "true" }) };
    const headers = from === 0 ? {} : { range: `bytes=${from}-` };
    return this.#http.bytes(await this.#http.send(where, { query, headers, signal }), signal);
  }

  async #submitting<T>(
    send: (call: Call) => Promise<T>,
    request: JobRequest,
    options: SubmitOptions,
  ): Promise<T> {
    const headers = { "idempotency-key": options.idempotencyKey ?? randomUUID() };
    const call: Call = { method: "POST", body: request, headers, signal: options.signal };
    const backoff = new Backoff({ baseMs: 200, capMs: 2_000 });
    for (let left = submitTries; ; left -= 1) {
      try {
        return await send(call);
      } catch (error) {
        const broken = isError(error, "hub_unreachable") && error.details["refused"] === false;
        if (!(broken || isError(error, "hub_draining")) || left === 1) throw error;
        await sleep(backoff.next(), options.signal);
      }
    }
  }
}

function path(id: string, ...rest: string[]): string {
  return ["/v1/jobs", ...[id, ...rest].map(encodeURIComponent)].join("/");
}

async function* asBytes(source: StdinSource): AsyncGenerator<Uint8Array> {
  if (typeof source === "string") yield Buffer.from(source, "utf8");
  else if (source instanceof Uint8Array) yield source;
  else yield* source;
}

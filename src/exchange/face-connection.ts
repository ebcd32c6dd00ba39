/** One caller's connection: its requests one after another, its time to say something, and how it ends. */
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { deferred } from "../async/index.ts";
import { isError, SallyportError } from "../errors.ts";
import { pump, takeWhole } from "./body.ts";
import type { HttpResponse } from "./contract.ts";
import type { FaceDeps, FaceOptions } from "./face-options.ts";
import { failureOf, failureResponse, type Failure } from "./failure.ts";
import { endToEnd, headerOf } from "./headers.ts";
import { freshId, readRequest, type FaceRequest } from "./request.ts";

interface ConnectionDeps<Context> extends FaceDeps<Context> {
  readonly context: Context;
  readonly bytes: Duplex;
}

interface Exchange {
  readonly message: IncomingMessage;
  readonly reply: ServerResponse;
  readonly expects: boolean;
}

/** A caller that ended its side gets a reply that begins within this; `ms` */
const patienceMs = 1_000;

/** What is left of a request after its reply, or of a caller that is being refused, has this long; `ms` */
const lingerMs = 2_000;

export class FaceConnection<Context> {
  readonly #deps: ConnectionDeps<Context>;
  readonly #options: Required<FaceOptions>;
  readonly #over = deferred<void>();
  readonly #waiting: Exchange[] = [];
  readonly #clock: NodeJS.Timeout;
  #current: AbortController | undefined;
  /** What is sent at the moment */
  #sending: "nothing" | "reply" | "events" = "nothing";
  #ended = false;
  #draining = false;
  #linger: NodeJS.Timeout | undefined;
  #patience: NodeJS.Timeout | undefined;

  constructor(deps: ConnectionDeps<Context>, options: Required<FaceOptions>) {
    this.#deps = deps;
    this.#options = options;
    this.#clock = setTimeout(() => this.#late(), options.headMs);
    const { bytes } = deps;
    bytes.on("error", ignore);
    bytes.once("end", this.#onEnd);
    bytes.once("close", this.#onClose);
    if ("setNoDelay" in bytes && typeof bytes.setNoDelay === "function") bytes.setNoDelay(true);
  }

  /** Resolves once the connection is closed or handed over. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  request(message: IncomingMessage, reply: ServerResponse, { expects = false } = {}): void {
    const exchange = { message, reply, expects };
    if (this.#current === undefined) {
      void this.#run(exchange);
    } else if (this.#waiting.length < this.#options.maxPipelined) {
      this.#waiting.push(exchange);
    } else {
      this.close(new SallyportError("network_limit_exceeded", "too many requests at once on one connection"));
    }
  }

  connect(message: IncomingMessage, head: Buffer): void {
    if (this.#current === undefined) void this.#connect(message, head);
    else this.close(new SallyportError("request_invalid", "CONNECT behind another request"));
  }

  /** What came is no HTTP/1.1. */
  malformed(error: NodeJS.ErrnoException): void {
    const isLarge = error.code === "HPE_HEADER_OVERFLOW";
    if (this.#current !== undefined || !this.#deps.bytes.writable || error.code === "ECONNRESET") {
      return this.close(new SallyportError("cancelled", "the caller's connection broke", { cause: error }));
    }
    const text = isLarge ? "the head is too large" : "not well-formed HTTP/1.1";
    const failure = failureOf(new SallyportError("request_invalid", `request: ${text}`), {
      id: freshId(),
      host: "",
    });
    this.#refuse({ ...failure, status: isLarge ? 431 : 400 });
  }

  drain(): void {
    this.#draining = true;
    if (this.#current === undefined) this.close(new SallyportError("shutting_down", "draining"));
  }

  close(reason: SallyportError): void {
    this.#current?.abort(reason);
    this.#deps.bytes.destroy();
  }

  async #run(exchange: Exchange): Promise<void> {
    const controller = new AbortController();
    this.#current = controller;
    try {
      await this.#exchange(exchange, controller.signal);
    } catch (error) {
      // the reply had begun: only a cut tells the caller that it is not whole
      this.#deps.log.debug({ err: error }, "reply broke off");
      controller.abort(error);
      this.#deps.bytes.destroy();
    }
    this.#sending = "nothing";
    this.#current = undefined;
    this.#next();
  }

  #next(): void {
    if (this.#deps.bytes.destroyed) return;
    const next = this.#waiting.shift();
    if (next !== undefined) void this.#run(next);
    else if (this.#draining) this.#deps.bytes.end();
    else this.#clock.refresh();
  }

  async #exchange({ message, reply, expects }: Exchange, signal: AbortSignal): Promise<void> {
    const continued = expects ? continueOnRead(message, reply) : { sent: true };
    // by the next microtask what a stream brought in one piece with the head is parsed
    if (!expects) await Promise.resolve();
    const response = await this.#answer(message, signal);
    if (signal.aborted) {
      response.body.destroy();
      return;
    }
    const type = headerOf(response.headers, "content-type");
    this.#sending = type?.startsWith("text/event-stream") === true ? "events" : "reply";
    clearTimeout(this.#patience);
    if (this.#ended && this.#sending === "events") this.#gone();
    await send(response, reply, { keepAlive: continued.sent && !this.#draining });
    if (!message.complete) this.#lingerOn(message);
  }

  async #answer(message: IncomingMessage, signal: AbortSignal): Promise<HttpResponse> {
    let request: FaceRequest | undefined;
    try {
      signal.throwIfAborted();
      request = readRequest(message, this.#options);
      return await this.#deps.handle(request, this.#deps.context, signal);
    } catch (error) {
      const subject = request ?? { id: freshId(), host: "" };
      this.#logFailure(error, subject);
      return failureResponse(error, subject);
    }
  }

  async #connect(message: IncomingMessage, head: Buffer): Promise<void> {
    const controller = new AbortController();
    this.#current = controller;
    const { bytes, context } = this.#deps;
    let request: FaceRequest | undefined;
    try {
      request = readRequest(message, this.#options);
      if (this.#deps.connect === undefined)
        throw new SallyportError("request_invalid", "CONNECT is not offered");
      const take = await this.#deps.connect(request, context);
      if (bytes.destroyed) return;
      this.#release();
      if (head.length > 0) bytes.unshift(head);
      bytes.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      take(bytes);
    } catch (error) {
      const subject = request ?? { id: freshId(), host: "" };
      this.#logFailure(error, subject);
      this.#refuse(failureOf(error, subject));
    }
  }

  /** Someone else owns the bytes from here on. */
  #release(): void {
    const { bytes } = this.#deps;
    bytes.off("end", this.#onEnd);
    bytes.off("close", this.#onClose);
    clearTimeout(this.#clock);
    clearTimeout(this.#patience);
    this.#over.resolve();
  }

  #refuse({ status, headers, bytes }: Failure): void {
    const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Failed"}\r\n${lines}connection: close\r\n\r\n`;
    this.#deps.bytes.end(Buffer.concat([Buffer.from(head), bytes]), () => this.#deps.bytes.destroy());
    this.#linger ??= setTimeout(() => this.#deps.bytes.destroy(), lingerMs);
  }

  /** Node throws away the rest of a body nobody read; that has an end. */
  #lingerOn(message: IncomingMessage): void {
    this.#linger ??= setTimeout(() => this.#deps.bytes.destroy(), lingerMs);
    message.once("end", () => {
      clearTimeout(this.#linger);
      this.#linger = undefined;
    });
  }

  #late(): void {
    if (this.#current === undefined) this.#deps.bytes.destroy();
  }

  #logFailure(error: unknown, { id, host }: { id: string; host: string }): void {
    const subject = { requestId: id, host, err: error };
    if (isError(error) && error.code !== "internal") this.#deps.log.debug(subject, "request failed");
    else this.#deps.log.error(subject, "request failed");
  }

  #gone(): void {
    this.close(new SallyportError("cancelled", "the caller went away"));
  }

  /**
   * A caller that went away looks like one that only has nothing more to send. The latter waits for one reply and never for
   * events; what is written to the former comes back as a reset.
   */
  readonly #onEnd = (): void => {
    this.#ended = true;
    if (this.#sending === "events") this.#gone();
    if (this.#current === undefined || this.#sending !== "nothing") return;
    this.#patience = setTimeout(() => this.#gone(), patienceMs);
  };

  readonly #onClose = (): void => {
    clearTimeout(this.#clock);
    clearTimeout(this.#linger);
    clearTimeout(this.#patience);
    this.#waiting.length = 0;
    this.#current?.abort(new SallyportError("cancelled", "the caller went away"));
    this.#over.resolve();
  };
}

const ignore = (): void => undefined;

/** Asks for the body when somebody first reads it, so that a refused caller need not send it. */
function continueOnRead(message: IncomingMessage, reply: ServerResponse): { readonly sent: boolean } {
  const state = { sent: false };
  const read = message._read.bind(message);
  message._read = (size) => {
    message._read = read;
    if (!reply.headersSent) {
      state.sent = true;
      reply.writeContinue();
    }
    read(size);
  };
  return state;
}

async function send(
  response: HttpResponse,
  reply: ServerResponse,
  { keepAlive }: { keepAlive: boolean },
): Promise<void> {
  const headers = endToEnd(response.headers).flat();
  if (!keepAlive) headers.push("connection", "close");
  response.body.on("error", ignore);
  try {
    reply.writeHead(response.status, headers);
  } catch (error) {
    response.body.destroy();
    throw error;
  }
  const whole = takeWhole(response.body);
  if (whole !== null) {
    reply.end(whole);
    return;
  }
  // bytes that are here already go in one piece with the head, which waits for no others
  const flushing = setImmediate(() => reply.flushHeaders());
  try {
    await pump(response.body, reply, { onChunk: () => clearImmediate(flushing) });
  } finally {
    clearImmediate(flushing);
  }
}

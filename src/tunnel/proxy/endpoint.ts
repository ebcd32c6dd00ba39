/**
 * Sessions of the HTTP+SSE transport of 2024-11-05 stand in a URL that the first event of their stream names. A parameter of ours,
 * added to it there and taken off again, says which connector holds the stream.
 * https://modelcontextprotocol.io/specification/2024-11-05/basic/transports#http-with-sse
 */
import { pipeline, Transform } from "node:stream";
import { headerOf, type HttpRequest, type HttpResponse } from "../../exchange/index.ts";
import { EventSplitter, readEvent, rewriteEvent } from "../../mcp/index.ts";

const parameter = "sallyport-connector=";
/** bytes of the first event; a longer one names no URL */
const limit = 16 * 2 ** 10;

/** The value of our parameter in a request's target; undefined without one. */
export function connectorIn(target: string): string | undefined {
  return parametersOf(target)
    .find((each) => each.startsWith(parameter))
    ?.slice(parameter.length);
}

/** The target as the upstream named it. */
export function withoutConnector(target: string): string {
  const others = parametersOf(target).filter((each) => !each.startsWith(parameter));
  const [path = ""] = target.split("?", 1);
  return others.length === 0 ? path : `${path}?${others.join("&")}`;
}

/** The same answer; where it may begin a session, the URL that its first event names says `connector`, which is asked for then only. */
export function withConnector(
  request: HttpRequest,
  response: HttpResponse,
  connector: () => string,
): HttpResponse {
  if (request.method !== "GET" || !isPlainStream(response)) return response;
  const body = new EndpointEvent(connector());
  // either of the two ends with the other; whoever reads the body hears of it there
  pipeline(response.body, body, () => undefined);
  const headers = response.headers.filter(([name]) => name !== "content-length");
  return { ...response, headers, body };
}

function parametersOf(target: string): string[] {
  const at = target.indexOf("?");
  return at === -1 ? [] : target.slice(at + 1).split("&");
}

function isPlainStream({ status, headers }: HttpResponse): boolean {
  const type = headerOf(headers, "content-type") ?? "";
  return (
    status === 200 && /^text\/event-stream\s*(;|$)/i.test(type) && !headerOf(headers, "content-encoding")
  );
}

class EndpointEvent extends Transform {
  readonly #connector: string;
  readonly #splitter = new EventSplitter();
  #isRead = false;

  constructor(connector: string) {
    super();
    this.#connector = connector;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const pieces = this.#isRead ? [chunk] : this.#splitter.push(chunk);
    for (const piece of pieces) this.push(this.#isRead ? piece : this.#read(piece));
    if (this.#isRead || this.#splitter.size > limit) this.#passOn();
    done();
  }

  override _flush(done: () => void): void {
    this.#passOn();
    done();
  }

  #read(piece: Buffer): Buffer {
    const event = readEvent(piece);
    if (event.data === undefined) return piece;
    this.#isRead = true;
    if (!event.others.some((line) => /^event: ?endpoint$/.test(line))) return piece;
    const join = event.data.includes("?") ? "&" : "?";
    return rewriteEvent(event, `${event.data}${join}${parameter}${this.#connector}`);
  }

  /** What stands behind the first event, or is too long to be one. */
  #passOn(): void {
    this.#isRead = true;
    const rest = this.#splitter.rest();
    if (rest !== undefined) this.push(rest);
  }
}

/** Keeps an MCP session with the connector that holds it. */
import { SallyportError } from "../../errors.ts";
import {
  headerOf,
  withHeader,
  type Forward,
  type HttpRequest,
  type HttpResponse,
} from "../../exchange/index.ts";
import { connectorIn, withConnector, withoutConnector } from "./endpoint.ts";
import type { SessionSeal } from "./sessions.ts";

export interface AffinityDeps {
  /** The id of this connector */
  readonly connector: string;
  /** The newest seal first; an older one still opens what it sealed. Empty: ids pass as they are */
  seals(): readonly SessionSeal[];
  /** To another connector of this tunnel; null where there is no way to any */
  readonly toPeer: ((connector: string) => Forward) | null;
}

const sessionHeader = "mcp-session-id";

/** A request that came from another connector goes no further; the value is that connector's id. */
export const hopHeader = "x-sallyport-hop";

/**
 * Session ids are sealed on the way out and opened on the way in. A session of another connector is carried there, once; one
 * that nobody knows, or whose owner is gone, throws `mcp_session_unknown`, whereupon MCP clients begin anew.
 */
export function throughAffinity(deps: AffinityDeps, forward: Forward): Forward {
  return async (request, signal) => {
    const seals = deps.seals();
    const [newest] = seals;
    if (newest === undefined) return await forward(request, signal);
    const session = headerOf(request.headers, sessionHeader);
    const id = session ?? connectorIn(request.target);
    if (id === undefined) return sealed(await forward(request, signal), request, { newest, ...deps });
    const place = seals.map((seal) => seal.open(request.host, id)).find((found) => found !== null);
    if (place === undefined) throw unknownSession("this tunnel gave out no such session id");
    if (place.connector !== deps.connector) return await carryOn(deps, { request, ...place }, signal);
    const own =
      session === undefined
        ? { ...request, target: withoutConnector(request.target) }
        : { ...request, headers: withHeader(request.headers, sessionHeader, place.session) };
    return sealed(await forward(own, signal), request, { newest, ...deps });
  };
}

function sealed(
  response: HttpResponse,
  request: HttpRequest,
  { newest, connector }: { newest: SessionSeal; connector: string },
): HttpResponse {
  const session = headerOf(response.headers, sessionHeader);
  if (session === undefined) {
    return withConnector(request, response, () => newest.seal(request.host, { connector, session: "" }));
  }
  const id = newest.seal(request.host, { connector, session });
  return { ...response, headers: withHeader(response.headers, sessionHeader, id) };
}

async function carryOn(
  { toPeer, connector: self }: AffinityDeps,
  { request, connector }: { request: HttpRequest; connector: string },
  signal: AbortSignal,
): Promise<HttpResponse> {
  if (toPeer === null || headerOf(request.headers, hopHeader) !== undefined) {
    throw unknownSession("the connector that holds this session cannot be reached from here");
  }
  const headers = withHeader(request.headers, hopHeader, self);
  try {
    return await toPeer(connector)({ ...request, headers }, signal);
  } catch (error) {
    signal.throwIfAborted();
    // what may have arrived there must not look like something that can be begun anew
    if (error instanceof SallyportError && error.details["sent"] === true) throw error;
    throw unknownSession("the connector that holds this session is gone", error);
  }
}

function unknownSession(message: string, cause?: unknown): SallyportError {
  const details = { layer: "upstream", sent: false, fix: "initialize a new MCP session" };
  return new SallyportError("mcp_session_unknown", message, { details, cause });
}

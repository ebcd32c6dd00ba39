/** An MCP session belongs to the sandbox that was given it. */
import type { Forward, HeaderList } from "../exchange/index.ts";
import { SallyportError } from "../errors.ts";

const header = "mcp-session-id";
/** Sessions kept for one host of one sandbox; the one used longest ago is forgotten first */
const maxSessions = 1_024;

/**
 * Lets requests through that name no session, or one that a reply to this very sandbox named. For every other the upstream is not
 * asked, and what a client is told is what it would hear of a session that is over, so that it begins a new one.
 */
export function throughSessions(next: Forward): Forward {
  const known = new Set<string>();
  const keep = (id: string): void => {
    known.delete(id);
    known.add(id);
    const [oldest] = known;
    if (known.size > maxSessions && oldest !== undefined) known.delete(oldest);
  };
  return async (request, signal) => {
    const named = sessionsIn(request.headers);
    if (named.length > 1) throw new SallyportError("mcp_invalid", "Mcp-Session-Id stands more than once");
    const [id] = named;
    if (id !== undefined) {
      if (!known.has(id)) throw new SallyportError("mcp_session_unknown", "no such session");
      keep(id);
    }
    const response = await next(request, signal);
    sessionsIn(response.headers).forEach(keep);
    return response;
  };
}

function sessionsIn(headers: HeaderList): string[] {
  const ids: string[] = [];
  for (const [name, value] of headers) {
    if (name.length === header.length && name.replaceAll("_", "-") === header) ids.push(value);
  }
  return ids;
}

/** Tool lists in what an upstream sends: found, shown to the rule, and cut down to what the rule allows. */
import type { ToolRule, ToolVerdict } from "../contract.ts";
import { ambiguity, elements, isObject, members, type Span } from "./json.ts";
import type { Message } from "./message.ts";

/** Methods whose result may hold tools */
export const listing: readonly string[] = ["tools/list", "server/discover"];

export interface Edit extends Span {
  readonly text: string;
}

/** A message of the upstream and where it stands. */
export interface Placed {
  readonly text: string;
  readonly span: Span;
  readonly message: Record<string, unknown>;
  /** The request it answers; undefined where that is not known */
  readonly asked: Message | undefined;
}

/** Cheap, and never false for text that holds a tool list: the key is written plainly or with an escape. */
export function mayHoldTools(text: string): boolean {
  return text.includes('"tools"') || text.includes("\\u");
}

/** What is cut out of a message so that it lists allowed tools only, or why none of it may be passed on. */
export function listEdits(
  placed: Placed,
  rule: ToolRule,
): readonly Edit[] | (ToolVerdict & { allow: false }) {
  const { text, span } = placed;
  const lists = listsIn(placed);
  if (lists.length === 0) return [];
  const fault = ambiguity(text.slice(span.from, span.to));
  if (fault !== null) {
    return { allow: false, code: "mcp_invalid", reason: `the upstream's tool list is ambiguous: ${fault}` };
  }
  const verdict = show(placed, rule);
  if (!verdict.allow) return verdict;
  const { tools } = rule;
  return tools === null ? [] : lists.flatMap((list) => cuts(text, list, tools));
}

function show({ message, asked }: Placed, rule: ToolRule): ToolVerdict {
  const result = message["result"];
  if (!isObject(result) || !Array.isArray(result["tools"])) return { allow: true };
  const first = asksForList(asked) && (asked?.says.cursor ?? null) === null;
  return rule.listed(result["tools"], { first, last: (result["nextCursor"] ?? null) === null });
}

const asksForList = (asked: Message | undefined): boolean => listing.includes(asked?.method ?? "");

interface List {
  readonly tools: readonly unknown[];
  /** Where it begins */
  readonly at: number;
}

/**
 * `result.tools` of a list, one level deeper as in `server/discover`, and `tools` of a document that is no message. The result of a
 * tool call has `content` and is the tool's own; where it is not known to be one, only what lies deeper is.
 */
function listsIn({ text, span, message, asked }: Placed): List[] {
  const lists: List[] = [];
  const look = (owner: unknown, at: number | undefined): ReadonlyMap<string, Span> => {
    const spans = isObject(owner) && at !== undefined ? members(text, at) : new Map<string, Span>();
    const found = spans.get("tools");
    if (isObject(owner) && found !== undefined && Array.isArray(owner["tools"]))
      lists.push({ tools: owner["tools"], at: found.from });
    return spans;
  };
  const { result } = message;
  const top = look(message, span.from);
  if (!isObject(result)) return lists;
  const mayBeCall = !asksForList(asked) && Array.isArray(result["content"]);
  if (mayBeCall && asked?.call != null) return lists;
  const inner = look(result, top.get("result")?.from);
  if (mayBeCall) return lists;
  for (const [key, value] of Object.entries(result)) {
    if (isObject(value) && Array.isArray(value["tools"])) look(value, inner.get(key)?.from);
  }
  return lists;
}

/** The spans of tools that are not allowed, each with one comma. What stays, stays as it was written. */
function cuts(text: string, { tools, at }: List, allowed: ReadonlySet<string>): Edit[] {
  const spans = elements(text, at);
  const kept = spans.filter((_, index) => isAllowed(tools[index], allowed));
  if (kept.length === spans.length) return [];
  const [first, last] = [spans[0], spans.at(-1)];
  if (first === undefined || last === undefined) return [];
  return [
    { from: first.from, to: last.to, text: kept.map(({ from, to }) => text.slice(from, to)).join(",") },
  ];
}

function isAllowed(tool: unknown, allowed: ReadonlySet<string>): boolean {
  return isObject(tool) && typeof tool["name"] === "string" && allowed.has(tool["name"]);
}

/** Applies edits that do not overlap. */
export function edited(text: string, edits: readonly Edit[]): string {
  let result = "";
  let at = 0;
  for (const edit of [...edits].sort((a, b) => a.from - b.from)) {
    result += text.slice(at, edit.from) + edit.text;
    at = edit.to;
  }
  return result + text.slice(at);
}

/** The tool calls of one request: judged together before it is sent, and each told how it ended, once. */
import type { CallOutcome, ToolCall, ToolRule, ToolVerdict } from "../contract.ts";
import { shortName } from "./replies.ts";

export interface Refusal {
  readonly call: ToolCall;
  readonly verdict: ToolVerdict & { allow: false };
}

/**
 * The first call that may not be made, of calls that are made all or not at all; null when each may. A refused batch has used up
 * what its earlier calls were admitted for.
 */
export function judge(rule: ToolRule, calls: readonly ToolCall[]): Refusal | null {
  const denied = calls.find(({ tool }) => rule.tools?.has(tool) === false);
  if (denied !== undefined) {
    const reason = `the tool ${JSON.stringify(shortName(denied.tool))} is not allowed here`;
    return { call: denied, verdict: { allow: false, code: "tool_not_allowed", reason } };
  }
  for (const call of calls) {
    const verdict = rule.admit(call);
    if (!verdict.allow) return { call, verdict };
  }
  return null;
}

/** Calls that were let through and have not ended yet. */
export class OpenCalls {
  readonly #rule: ToolRule;
  readonly #open: Map<string | number | null, ToolCall[]>;
  readonly #since = performance.now();

  constructor(rule: ToolRule, calls: readonly ToolCall[]) {
    this.#rule = rule;
    this.#open = Map.groupBy(calls, ({ rpcId }) => rpcId);
  }

  get size(): number {
    return this.#open.size;
  }

  /** Ids of open calls that await an answer. */
  get ids(): (string | number)[] {
    return [...this.#open.keys()].filter((id) => id !== null);
  }

  settle(id: string | number | null, outcome: CallOutcome): void {
    const ms = performance.now() - this.#since;
    for (const call of this.#open.get(id) ?? []) {
      this.#rule.ended(call, { verdict: { allow: true }, outcome, ms });
    }
    this.#open.delete(id);
  }

  settleAll(outcome: CallOutcome): void {
    for (const id of this.#open.keys()) this.settle(id, outcome);
  }
}

/** The rule of one grant: which tools, how many calls, how often; and the record of each call. */
import type { AuditEntry, AuditLog } from "../audit/index.ts";
import type { ErrorCode } from "../errors.ts";
import type { CallEnd, ToolCall, ToolRule, ToolVerdict } from "../mcp/index.ts";
import type { CallTold, Grant, Subject } from "./contract.ts";
import { TokenBucket } from "./token-bucket.ts";

export interface RuleDeps {
  audit: Pick<AuditLog, "record">;
  subject: Subject;
  clock: () => number;
  /** A call was let through */
  admitted: () => void;
  onCall: (call: CallTold) => void;
}

const allow: ToolVerdict = { allow: true };
const rules: Partial<Record<ErrorCode, AuditEntry["rule"]>> = {
  call_limit_exceeded: "limit",
  call_rate_exceeded: "limit",
  tools_changed: "route",
};

export function createToolRule(grant: Grant, deps: RuleDeps): ToolRule {
  const { host, tools, maxCalls = Number.POSITIVE_INFINITY, rate } = grant;
  const bucket =
    rate === undefined
      ? undefined
      : new TokenBucket({ perSecond: rate, burst: Math.max(1, rate) }, deps.clock);
  let calls = 0;
  return {
    tools: tools === undefined ? null : new Set(tools),
    strict: maxCalls !== Number.POSITIVE_INFINITY || bucket !== undefined,
    admit: () => {
      if (calls >= maxCalls)
        return deny("call_limit_exceeded", `all ${maxCalls} calls that the job may make to ${host} are made`);
      if (bucket?.take() === false)
        return deny("call_rate_exceeded", `more than ${rate} calls per second to ${host}`);
      calls += 1;
      deps.admitted();
      return allow;
    },
    ended: (call, end) => {
      const args = call.arguments.length > 0 ? call.arguments : undefined;
      deps.audit.record(entryOf(call, end, { host, ...deps }), args);
      deps.onCall(toldOf(call, end, host));
    },
    listed: () => allow,
  };
}

const deny = (code: ErrorCode, reason: string): ToolVerdict => ({ allow: false, code, reason });

function entryOf(
  call: ToolCall,
  { verdict, outcome, ms }: CallEnd,
  { subject, host }: RuleDeps & { host: string },
): AuditEntry {
  return {
    kind: "call",
    requestId: call.requestId,
    job: subject.job,
    sandbox: subject.sandbox,
    host,
    tool: call.tool,
    decision: verdict.allow ? "allow" : "deny",
    reason: verdict.allow ? "granted" : verdict.code,
    rule: verdict.allow ? "job" : (rules[verdict.code] ?? "job"),
    ms,
    ...(outcome !== null && { outcome }),
  };
}

function toldOf({ requestId, tool }: ToolCall, { verdict, outcome, ms }: CallEnd, host: string): CallTold {
  const decision = verdict.allow ? "allow" : "deny";
  const reason = verdict.allow ? "granted" : verdict.code;
  return { requestId, host, tool, decision, reason, outcome, ms };
}

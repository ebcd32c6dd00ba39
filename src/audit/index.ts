/** What sandboxes asked for, was decided, and came of it: a chain of hashed lines, and the proof that none was changed. */
export type { AuditEntry, AuditLog } from "./contract.ts";
export type { AuditFault, AuditReport } from "./chain.ts";
export { openAuditLog, type AuditOptions } from "./log.ts";
export { verifyAudit } from "./verify.ts";

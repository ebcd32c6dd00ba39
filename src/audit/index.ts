export type { AuditEntry, AuditLog } from "./contract.ts";

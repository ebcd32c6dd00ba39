export type {
  AttemptRecord,
  Claim,
  ClaimRequest,
  Fenced,
  FleetStore,
  HeldBy,
  Hint,
  HubDirectory,
  HubRecord,
  JobFilter,
  JobPage,
  JobRecord,
  JobStore,
  KnownProfile,
  LeaseStore,
  LogChunk,
  LogStore,
  NewJob,
  PoolDepth,
  Store,
  Tenant,
  WorkerRecord,
  WorkerSession,
} from "./contract.ts";
export { openSqliteStore, type SqliteStoreOptions } from "./sqlite/open.ts";
export { claimBytes, poolOf, wallClock } from "./rules.ts";
export { openPostgresStore } from "./postgres/enter.ts";
export type { PostgresStoreOptions } from "./postgres/open.ts";

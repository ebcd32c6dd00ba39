export type {
  AttemptRecord,
  Claim,
  Fenced,
  FleetStore,
  HeldBy,
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
export { poolOf } from "./rules.ts";

/** The long-lived process that dials out, leases jobs and runs them in sandboxes. */
export {
  defaultTimes,
  type Worker,
  type WorkerDeps,
  type WorkerOptions,
  type WorkerTimes,
} from "./contract.ts";
export { readWorkerIdentity, type WorkerIdentity } from "./identity.ts";
export { workerStates, type WorkerState } from "./states.ts";
export {
  plainOutfit,
  type CallTold,
  type NetworkAttachment,
  type Outfit,
  type SandboxNetwork,
} from "./network.ts";
export { programOf } from "./languages.ts";
export { makeWarm, type WarmSandbox } from "./pool/warm-sandbox.ts";
export { createWorker } from "./worker.ts";

/** The far end of a worker, in memory, and a worker on it: all that a test of a worker imports. */
export { SimulatedHub, type HubEnd, type HubHooks } from "./memory-hub.ts";
export { anyBytes, jobSpec, run, SimulatedJob, type OfferParts } from "./memory-hub-jobs.ts";
export { startRig, testProfile, type Rig, type RigOptions } from "./worker-rig.ts";

/** What makes and destroys sandboxes: the driver contract, its drivers, and the profiles they work from. */
export type {
  Driver,
  Exec,
  ExecExit,
  ExecSpec,
  ExecStdin,
  FileStat,
  Guest,
  GuestFiles,
  GuestLink,
  GuestNet,
  GuestSocket,
  OutputChunk,
  OutputStream,
  ProbeCheck,
  ProbeReport,
  Sandbox,
  SandboxEnd,
  SandboxInfo,
  SandboxSpec,
  SandboxStats,
} from "./contract.ts";
export { createDockerDriver, type DockerDriver, type DockerDriverOptions } from "./docker/driver.ts";
export { watchEngine, type EngineWatch, type Inventory, type SeenSandbox } from "./docker/watch.ts";
export {
  createFakeDriver,
  FakeEngine,
  type FakeDriver,
  type FakeDriverOptions,
  type FakeFaults,
} from "./fake/driver.ts";
export {
  loadProfiles,
  parseProfile,
  profileFileSchema,
  profileJsonSchema,
  type LoadedProfiles,
  type MemoryShape,
  type Profile,
  type ProfileFile,
  type ProfileProblem,
} from "./profile/index.ts";
export { languageNames, type LanguageName } from "./profile/schema.ts";

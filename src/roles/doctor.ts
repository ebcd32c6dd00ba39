import { randomUUID } from "node:crypto";
import type { SandboxSettings } from "../config/index.ts";
import { createLog } from "../log.ts";
import type { ProbeReport } from "../sandbox/index.ts";
import { openDriver } from "./sandboxes.ts";

/** What the engine of this host really enforces, found by running a probe sandbox. */
export async function probeHost(settings: SandboxSettings): Promise<ProbeReport> {
  const owner = { worker: `doctor-${randomUUID()}`, boot: randomUUID() };
  await using driver = openDriver(settings, owner, createLog({ level: "warn" }));
  return await driver.probe();
}

/** Looks at this host's engine without being a worker. */
import { randomUUID } from "node:crypto";
import { readEnvironment, sandboxSettings, type SandboxSettings } from "../config/index.ts";
import { createLog } from "../log.ts";
import type { Driver, ProbeReport, SandboxInfo } from "../sandbox/index.ts";
import { openDriver } from "./sandboxes.ts";

/** What the engine of this host really enforces, found by running a probe sandbox. */
export async function probeHost(settings: SandboxSettings): Promise<ProbeReport> {
  await using driver = openAs(`doctor-${randomUUID()}`, settings);
  return await driver.probe();
}

export async function sandboxesOf(workerId: string): Promise<SandboxInfo[]> {
  await using driver = openAs(workerId, sandboxSettings({}, readEnvironment(), process.cwd()));
  return await driver.list();
}

function openAs(worker: string, settings: SandboxSettings): Driver {
  return openDriver(settings, { worker, boot: randomUUID() }, createLog({ level: "warn" }));
}

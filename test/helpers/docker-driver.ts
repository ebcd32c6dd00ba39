/** What the tests of the Docker driver share: drivers of one worker, a profile that is ready, and nothing left behind. */
import { silentLog } from "../../src/log.ts";
import { createDockerDriver, type Driver, type Profile, type Sandbox } from "../../src/sandbox/index.ts";
import * as docker from "./docker.ts";

/** Another one in each process */
export const worker = docker.workerId("driver-test");

export function open(options: { dockerHost?: string; guestPath?: string; boot?: string } = {}): Driver {
  const settings = { worker, boot: "boot", guestPath: docker.guestPath, ...docker.engineAt(), ...options };
  return createDockerDriver({ log: silentLog() }, settings);
}

export async function printed(sandbox: Sandbox, argv: string[]): Promise<string> {
  const exec = await sandbox.guest.exec({ argv, env: {}, cwd: "/workspace", stdin: "none" });
  const chunks: Uint8Array[] = [];
  for await (const { bytes } of exec.output) chunks.push(bytes.slice());
  return Buffer.concat(chunks).toString();
}

/** Builds what a sandbox needs and prepares a small profile at `driver`. */
export async function readyProfile(driver: Driver): Promise<Profile> {
  await docker.buildPrograms();
  const profile = docker.smallProfile(await docker.testImage());
  await driver.prepare(profile);
  return profile;
}

/** Closes the driver; fails when the worker left anything. */
export async function putAway(driver: Driver): Promise<void> {
  await driver[Symbol.asyncDispose]();
  await docker.leakCheck(`dev.sallyport.worker=${worker}`);
}

/** What tests that need a real engine share: is there one, and was everything put away. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import Docker from "dockerode";
import type { Profile } from "../../src/sandbox/index.ts";

const run = promisify(execFile);
const mib = 2 ** 20;
const repo = fileURLToPath(new URL("../..", import.meta.url));

export const guestPath = `${repo}images/guest/build/guest`;
export const probePath = `${repo}images/guest/build/probe`;

/** Where the engine of these tests is, as the driver's option. */
export function engineAt(): { dockerHost?: string } {
  const dockerHost = process.env["DOCKER_HOST"];
  return dockerHost === undefined ? {} : { dockerHost };
}

/** Opens a bare connection to the engine, for a go-between. */
export function connectEngine(): Socket {
  const url = new URL(process.env["DOCKER_HOST"] ?? "unix:///var/run/docker.sock");
  return url.protocol === "unix:"
    ? connect(url.pathname)
    : connect({ host: url.hostname, port: Number(url.port) });
}

/** A client of the test's own, to look and to do harm with. */
export function rawEngine(): Docker {
  return new Docker({ version: "v1.41" });
}

/**
 * The reason why tests of a real engine cannot run here, printed once, or `false` when they can. With
 * `REQUIRE_DOCKER=1` a missing engine is a failure instead.
 */
export async function requireEngine(): Promise<string | false> {
  try {
    await rawEngine().ping();
    return false;
  } catch (error) {
    const reason = `no engine answers: ${String(error)}`;
    if (process.env["REQUIRE_DOCKER"] === "1") throw new Error(reason, { cause: error });
    console.log(`# skipped: ${reason}`);
    return reason;
  }
}

/** Builds the guest and the probe where a compiler can bring them up to date. */
export async function buildPrograms(): Promise<void> {
  await run("make", ["-C", `${repo}images/guest`]);
  await run("make", ["-C", `${repo}images/probe`]);
  assert.ok(existsSync(guestPath) && existsSync(probePath), "the guest and the probe are built");
}

/** Name of an image with a shell, for tests: `TEST_IMAGE`, else the base of ours. */
export async function testImage(): Promise<string> {
  const image = process.env["TEST_IMAGE"] ?? "sallyport/base";
  try {
    await rawEngine().getImage(image).inspect();
    return image;
  } catch (error) {
    throw new Error(`the image ${image} is not there: npm test builds it`, { cause: error });
  }
}

/** A small profile; `resources` replaces single limits. */
export function smallProfile(image: string, resources: Partial<Profile["resources"]> = {}): Profile {
  return {
    name: "small",
    digest: "sha256:small",
    shape: "shell",
    image,
    runtime: "runc",
    lifecycle: "job",
    resources: {
      cpus: 1,
      memory: 64 * mib,
      pids: 32,
      workspace: 8 * mib,
      tmp: 4 * mib,
      gpus: 0,
      ...resources,
    },
    limits: { wallClock: 60_000, output: mib, artifacts: mib, idle: null },
    languages: {},
    network: { mcp: [] },
    pool: { warm: 0, maxAge: 600_000 },
    env: {},
  };
}

/**
 * Id of a worker that has no state folder. It stands in a file as others' ids do, by which `npm test` finds what is left of a worker
 * that was killed with its test.
 */
export function workerId(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-worker-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const id = `${name}-${randomUUID()}`;
  writeFileSync(join(folder, "worker-id"), id);
  return id;
}

/** Fails when a container with this label (`name=value`) is left, and removes it so that the next file starts clean. */
export async function leakCheck(label: string): Promise<void> {
  const engine = rawEngine();
  const left = await engine.listContainers({ all: true, filters: { label: [label] } });
  for (const { Id } of left) {
    await engine
      .getContainer(Id)
      .remove({ force: true, v: true })
      .catch(() => undefined);
  }
  assert.deepEqual(
    left.map(({ Id, State }) => `${Id} ${State}`),
    [],
    `containers with label ${label} are left`,
  );
}

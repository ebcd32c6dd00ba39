/** Finds out what an engine really enforces: a probe sandbox with the same body as any other is looked at from inside. */
import { withDeadline } from "../../async/index.ts";
import type { ProbeReport, Sandbox, SandboxSpec } from "../contract.ts";
import type { Engine, EngineFacts } from "./engine.ts";
import { engineCall } from "./errors.ts";
import { maskedPaths, readonlyPaths } from "./masks.ts";
import { judge } from "./probe-checks.ts";
import { probeProfile } from "./probe-profile.ts";

export interface ProbeDeps {
  engine: Engine;
  create: (spec: SandboxSpec) => Promise<Sandbox>;
}

const probeInside = "/sallyport/probe";
const runMs = 30_000;
const outputBytes = 256 * 1024;

export async function probeEngine(deps: ProbeDeps): Promise<ProbeReport> {
  const facts = await deps.engine.readFacts();
  const profile = probeProfile("runc");
  const spec: SandboxSpec = { profile, lease: "probe", hosts: ["probe"] };
  const seen = new Map<string, string>();
  {
    await using sandbox = await deps.create(spec);
    note(seen, await run(sandbox, ["look", ...maskedPaths(facts.cpus), "--", ...readonlyPaths]));
    const { memory, pids, workspace } = profile.resources;
    const beyond = [memory * 2, pids * 2, workspace].map(String);
    note(seen, await run(sandbox, ["fill", ...beyond]));
    seen.set("engine.memory-ran-out", String(await sandbox.memoryRanOut()));
    seen.set("engine.log", await logDriver(deps.engine, sandbox.id));
  }
  seen.set("engine.lifeline", await lifeline(deps, spec));
  const { name, version, runtimes, described } = facts;
  return {
    engine: { name, version, runtimes, facts: described },
    checks: judge(profile, seen),
    warnings: warningsOf(facts),
  };
}

async function run(sandbox: Sandbox, args: readonly string[]): Promise<string> {
  const exec = await sandbox.guest.exec({ argv: [probeInside, ...args], env: {}, cwd: "/", stdin: "none" });
  const collect = async (): Promise<string> => {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of exec.output) {
      bytes += chunk.bytes.length;
      if (bytes > outputBytes) break;
      chunks.push(chunk.bytes.slice());
    }
    return Buffer.concat(chunks).toString("utf8");
  };
  try {
    return await withDeadline(collect(), runMs, "the probe");
  } finally {
    exec.killTree();
  }
}

function note(seen: Map<string, string>, text: string): void {
  for (const line of text.split("\n")) {
    const cut = line.indexOf("=");
    if (cut > 0) seen.set(line.slice(0, cut), line.slice(cut + 1).trim());
  }
}

async function logDriver(engine: Engine, id: string): Promise<string> {
  const call = { operation: "inspect", subject: id } as const;
  const { HostConfig, LogPath } = await engineCall(call, engine.docker.getContainer(id).inspect());
  const driver = HostConfig.LogConfig?.Type ?? "unknown";
  return driver === "none" && LogPath !== "" ? `none, but ${LogPath}` : driver;
}

/** Lets go of the guest's stdin, as a killed worker does, and tells how the sandbox ended. */
async function lifeline({ create }: ProbeDeps, spec: SandboxSpec): Promise<string> {
  await using sandbox = await create(spec);
  sandbox.guest.close();
  return (await sandbox.ended).by;
}

const knownHoles: readonly { below: string; hole: string }[] = [
  { below: "25.0.2", hole: "CVE-2024-29018: names can be resolved from an internal network (unused here)" },
  { below: "29.5.1", hole: "the archive calls can be led outside the container (unused here)" },
];

function warningsOf({ version, described, warnings }: EngineFacts): string[] {
  const security = described["security"] ?? "";
  const holes = knownHoles.filter(({ below }) => older(version, below));
  return [
    ...warnings,
    ...holes.map(({ below, hole }) => `engine ${version} is older than ${below}: ${hole}`),
    ...(security.includes("apparmor") || security.includes("selinux")
      ? []
      : ["no AppArmor or SELinux: one layer less between a sandbox and the kernel"]),
    ...(security.includes("rootless") || security.includes("userns")
      ? []
      : ["the engine is neither rootless nor remaps users: uid 1000 inside is uid 1000 outside"]),
  ];
}

function older(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => text.split(/[.+-]/).map(Number));
  for (const [at, part] of (b ?? []).entries()) {
    const mine = a?.[at] ?? 0;
    if (mine !== part) return mine < part;
  }
  return false;
}

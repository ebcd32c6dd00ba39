/** Finds out what an engine really enforces: a probe sandbox with the same body as any other is looked at from inside. */
import { withDeadline } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import type { ProbeReport, Sandbox, SandboxSpec } from "../contract.ts";
import type { Engine } from "./engine.ts";
import { engineCall } from "./errors.ts";
import { warningsOf } from "./known-holes.ts";
import { maskedPaths, readonlyPaths } from "./masks.ts";
import type { Profile } from "../profile/index.ts";
import { judge } from "./probe-checks.ts";
import { probeProfile } from "./probe-profile.ts";

export interface ProbeDeps {
  engine: Engine;
  create: (spec: SandboxSpec) => Promise<Sandbox>;
  /** Rejects with `runtime_unavailable` and the reason when nothing starts with it. */
  ensureRuntime: (runtime: Runtime) => Promise<void>;
}

type Runtime = Profile["runtime"];
type Seen = Map<string, string>;

const probeInside = "/sallyport/probe";
const runMs = 30_000;
const outputBytes = 256 * 1024;
/** What profiles can name besides runc, whose sandboxes are judged */
const others: readonly Runtime[] = ["crun", "runsc", "kata"];

export async function probeEngine(deps: ProbeDeps): Promise<ProbeReport> {
  const facts = await deps.engine.readFacts();
  const profile = probeProfile("runc");
  const spec: SandboxSpec = { profile, lease: "probe", hosts: ["probe"] };
  const seen = new Map<string, string>();
  {
    await using sandbox = await deps.create(spec);
    note(seen, await look(sandbox, facts.cpus));
    const { memory, pids, workspace } = profile.resources;
    const beyond = [memory * 2, pids * 2, workspace].map(String);
    note(seen, await run(sandbox, ["fill", ...beyond]));
    seen.set("engine.memory-ran-out", String(await sandbox.memoryRanOut()));
    seen.set("engine.log", await logDriver(deps.engine, sandbox.id));
  }
  seen.set("engine.lifeline", await lifeline(deps, spec));
  const { name, version, runtimes, described, cpus } = facts;
  const tried: Record<string, string> = {};
  const warnings = warningsOf(facts);
  for (const runtime of others.filter((other) => runtimes.includes(other))) {
    const outcome = await tryRuntime(deps, runtime, { seen, cpus });
    tried[`runtime ${runtime}`] = outcome.says;
    warnings.push(...outcome.warnings);
  }
  return {
    engine: { name, version, runtimes, facts: { ...described, ...tried } },
    checks: judge(profile, seen),
    warnings,
  };
}

/** Whether it starts a sandbox, and what succeeds inside that a sandbox of runc is refused. */
async function tryRuntime(
  { create, ensureRuntime }: ProbeDeps,
  runtime: Runtime,
  usual: { seen: Seen; cpus: number },
): Promise<{ says: string; warnings: string[] }> {
  const inside: Seen = new Map();
  try {
    await ensureRuntime(runtime);
    await using sandbox = await create({ profile: probeProfile(runtime), lease: "probe", hosts: ["probe"] });
    note(inside, await look(sandbox, usual.cpus));
  } catch (error) {
    return { says: `does not work: ${SallyportError.from(error).message}`, warnings: [] };
  }
  const open = [...inside].filter(
    ([name, value]) => granted.includes(value) && !granted.includes(usual.seen.get(name) ?? ""),
  );
  const names = open.map(([name]) => name).join(", ");
  const warning = `runtime ${runtime} lets pass what runc refuses, for its own kernel to answer: ${names}`;
  return { says: "starts", warnings: names === "" ? [] : [warning] };
}

const granted = ["ok", "readable", "writable"];

async function look(sandbox: Sandbox, cpus: number): Promise<string> {
  return await run(sandbox, ["look", ...maskedPaths(cpus), "--", ...readonlyPaths]);
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

/** Does the planned faults, each for its time, and notes when each begins and ends. */
import { sleep } from "../../src/async/index.ts";
import type { FaultProxy } from "../helpers/fault-proxy.ts";
import type { SmallDisk } from "../helpers/small-disk.ts";
import type { Child } from "./child.ts";
import { revive, type Cluster } from "./cluster.ts";
import type { Recorder } from "./history.ts";
import { kindOf, type FaultName, type FaultPlan } from "./plan.ts";

type Undo = () => Promise<void> | void | undefined;

const drainMs = 20_000;
const slowBytesPerSecond = 4_000;
/** further than any lease or deadline reaches */
const clockMs = 3_600_000;

/** Resolves once every fault is over and undone. A target has its faults one after another, later than planned where it must. */
export async function runNemesis(
  cluster: Cluster,
  plans: readonly FaultPlan[],
  recorder: Recorder,
  signal: AbortSignal,
): Promise<void> {
  const from = performance.now();
  const byTarget = Map.groupBy(plans, targetOf);
  await Promise.all(
    [...byTarget.values()].map(async (own) => {
      for (const plan of own) {
        await sleep(Math.max(0, from + plan.at - performance.now()), signal).catch(() => undefined);
        if (!signal.aborted) await inflict(cluster, plan, recorder, signal);
      }
    }),
  );
}

function targetOf({ name, target }: FaultPlan): string {
  return `${kindOf(name)}${target}`;
}

async function inflict(
  cluster: Cluster,
  plan: FaultPlan,
  recorder: Recorder,
  signal: AbortSignal,
): Promise<void> {
  const { name, target, ms } = plan;
  const where = targetOf(plan);
  recorder.note({ type: "fault", phase: "begin", name, target: where });
  const undo = await faults[name](cluster, target);
  await sleep(ms, signal).catch(() => undefined);
  await undo();
  recorder.note({ type: "fault", phase: "end", name, target: where });
}

const nothing: Undo = () => undefined;

const faults: Record<FaultName, (cluster: Cluster, target: number) => Promise<Undo> | Undo> = {
  "worker-kill": (cluster, at) => kill(worker(cluster, at)),
  "worker-freeze": (cluster, at) => freeze(worker(cluster, at)),
  "worker-drain": (cluster, at) => drain(worker(cluster, at)),
  "hub-kill": (cluster, at) => kill(hub(cluster, at)),
  "hub-freeze": (cluster, at) => freeze(hub(cluster, at)),
  "hub-drain": (cluster, at) => drain(hub(cluster, at)),
  "link-cut": onLinks((link) => link.cut("fin")),
  "link-reset": onLinks((link) => link.cut("reset")),
  "link-stall-up": onLinks((link) => link.stall("up"), end),
  "link-stall-down": onLinks((link) => link.stall("down"), end),
  "link-half-open": onLinks((link) => link.stall("both"), end),
  "link-partition": onLinks((link) => link.partition(), end),
  "link-slow": onLinks((link) => {
    link.slow(slowBytesPerSecond);
    link.cut("reset");
  }, end),
  "link-duplicate": onLinks(
    (link) => link.duplicate(),
    (link) => link.heal(),
  ),
  "front-cut": (cluster, at) => {
    cluster.hubs[at]?.front.cut("reset");
    return nothing;
  },
  "hub-clock-ahead": (cluster, at) => setClock(hub(cluster, at), clockMs),
  "hub-clock-behind": (cluster, at) => setClock(hub(cluster, at), -clockMs),
  "worker-clock-ahead": (cluster, at) => setClock(worker(cluster, at), clockMs),
  "worker-clock-behind": (cluster, at) => setClock(worker(cluster, at), -clockMs),
  "spool-full": (cluster, at) => fill(cluster.workers[at]?.disk),
  "disk-full": async (cluster) => {
    const room = fill(cluster.disk);
    return async () => {
      await room();
      await cluster.database?.boot();
    };
  },
  "database-kill": async ({ database }) => {
    await database?.kill();
    return () => database?.boot();
  },
  "database-cut": async ({ database }) => {
    await database?.cut();
    return nothing;
  },
  "store-reset": onStoreWay((way) => way.cut("reset")),
  "store-stall": onStoreWay((way) => way.stall("both"), end),
  "store-partition": onStoreWay((way) => way.partition(), end),
  "engine-kill": (cluster) => stopEngine(cluster, "SIGKILL"),
  "engine-restart": (cluster) => stopEngine(cluster, "SIGTERM"),
  "engine-freeze": ({ engine }) => {
    engine?.freeze();
    return () => engine?.thaw();
  },
};

function worker(cluster: Cluster, at: number): Child | undefined {
  return cluster.workers[at]?.child;
}

function hub(cluster: Cluster, at: number): Child | undefined {
  return cluster.hubs[at]?.child;
}

async function kill(child: Child | undefined): Promise<Undo> {
  await child?.kill();
  return () => child && revive(child);
}

async function stopEngine({ engine }: Cluster, signal: "SIGKILL" | "SIGTERM"): Promise<Undo> {
  await engine?.down(signal);
  return () => engine?.up();
}

function setClock(child: Child | undefined, aheadMs: number): Undo {
  child?.setClock(aheadMs);
  return () => child?.setClock(0);
}

function fill(disk: SmallDisk | undefined): Undo {
  disk?.fill();
  return () => disk?.makeRoom();
}

function freeze(child: Child | undefined): Undo {
  child?.freeze();
  return () => child?.thaw();
}

async function drain(child: Child | undefined): Promise<Undo> {
  await child?.stop(drainMs);
  return () => child && revive(child);
}

function end(link: FaultProxy): void {
  link.heal();
  link.cut("reset");
}

function onStoreWay(
  begin: (way: FaultProxy) => void,
  undo: (way: FaultProxy) => void = () => undefined,
): (cluster: Cluster, target: number) => Undo {
  return (cluster, target) => {
    const way = cluster.hubs[target]?.toStore;
    if (way === undefined) return nothing;
    begin(way);
    return () => undo(way);
  };
}

function onLinks(
  begin: (link: FaultProxy) => void,
  undo: (link: FaultProxy) => void = () => undefined,
): (cluster: Cluster, target: number) => Undo {
  return (cluster, target) => {
    const links = cluster.workers[target]?.links ?? [];
    for (const link of links) begin(link);
    return () => links.forEach((link) => undo(link));
  };
}

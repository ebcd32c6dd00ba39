import { exitCodes } from "../exit-codes.ts";
import { bind, examples, group, withHub, withJson, type Register } from "../command.ts";
import type { Context, HubFlags } from "../context.ts";
import { formatSize } from "../../units.ts";
import { pairs, table } from "../table.ts";

interface DrainFlags extends HubFlags {
  deadline?: string;
}

export const registerWorkers: Register = (parent, dispatch) => {
  const workers = group(parent, "workers", "look at workers, drain them");
  const list = workers.command("ls").description("every worker this hub has seen");
  examples(withJson(withHub(list)), "sallyport workers ls");
  bind<HubFlags>(list, dispatch, listWorkers);
  const drain = workers
    .command("drain")
    .argument("<id>")
    .description("let a worker finish what it runs and take nothing new (needs an admin key)")
    .option("--deadline <duration>", "what still runs after this is stopped; by default it may finish");
  examples(withJson(withHub(drain)), "sallyport workers drain worker-7f… --deadline 5m");
  bind<DrainFlags>(drain, dispatch, drainWorker);
};

async function listWorkers(context: Context, flags: HubFlags): Promise<number> {
  const workers = await (await context.client(flags)).workers.list();
  if (flags.json === true) {
    await context.stdout.json({ workers });
    return exitCodes.ok;
  }
  const rows = workers.map((worker) => [
    worker.id,
    worker.state,
    worker.capacity === null ? null : `${worker.free?.slots ?? 0}/${worker.capacity.slots}`,
    worker.capacity === null ? null : formatSize(worker.capacity.memory),
    String(worker.held),
    pairs(worker.warm),
    pairs(worker.labels),
    worker.lastSeenAt,
  ]);
  const headings = ["ID", "STATE", "FREE", "MEMORY", "HELD", "WARM", "LABELS", "LAST SEEN"];
  await context.stdout.line(table(headings, rows));
  return exitCodes.ok;
}

async function drainWorker(context: Context, flags: DrainFlags, [id = ""]: string[]): Promise<number> {
  if (flags.deadline !== undefined) {
    const { durationFlag } = await import("../../config/index.ts");
    durationFlag(flags.deadline, "--deadline");
  }
  await (await context.client(flags)).workers.drain(id, { deadline: flags.deadline });
  await (flags.json === true
    ? context.stdout.json({ id, draining: true })
    : context.stdout.line(`${id} draining`));
  return exitCodes.ok;
}

import { resolve } from "node:path";
import { exitCodes } from "../exit-codes.ts";
import { bind, examples, group, repeated, withJson, type Register } from "../command.ts";
import type { Context, Keys } from "../context.ts";
import { usageError } from "../failure.ts";
import { table } from "../table.ts";
import type { Command } from "commander";

interface KeyFlags {
  state?: string;
  json?: boolean;
  scope?: string[];
  tenant?: string;
  weight?: string;
}

const [leastWeight, mostWeight] = [0.000_001, 1_000_000];

export const registerKeys: Register = (parent, dispatch) => {
  const keys = group(
    parent,
    "keys",
    "add, list and revoke keys in a hub's state folder (a running hub notices)",
  );
  const add = withState(keys.command("add"))
    .argument("<name>")
    .description("make a key and print it, once; the hub keeps only its digest")
    .addOption(repeated("--scope <scope>", "jobs (by default), sessions, admin, worker or connector"))
    .option("--tenant <tenant>", "whose jobs it submits and sees", "default")
    .option("--weight <n>", "the tenant's share of the fleet relative to others", "1");
  examples(
    withJson(add),
    "(umask 077; sallyport keys add ci > ci.key)",
    "sallyport keys add rack-7 --scope worker",
  );
  bind<KeyFlags>(add, dispatch, addKey);
  const list = withState(keys.command("ls")).description("every key, without its text");
  examples(withJson(list), "sallyport keys ls");
  bind<KeyFlags>(list, dispatch, listKeys);
  const revoke = withState(keys.command("revoke")).argument("<name>").description("end a key");
  examples(withJson(revoke), "sallyport keys revoke ci");
  bind<KeyFlags>(revoke, dispatch, revokeKey);
};

function withState(command: Command): Command {
  return command.option(
    "--state <dir>",
    "the hub's state folder (SALLYPORT_STATE); a `dev`'s, .sallyport, by default",
  );
}

async function open(context: Context, flags: KeyFlags): Promise<Keys> {
  const { devStateDir } = await import("../../config/index.ts");
  const { stateDir = devStateDir } = await context.environment();
  return await context.roles.keys(resolve(context.cwd, flags.state ?? stateDir));
}

async function addKey(context: Context, flags: KeyFlags, [name = ""]: string[]): Promise<number> {
  if (name === "" || name.length > 128) throw usageError("the key's name is empty or too long", "name it");
  const weight = Number(flags.weight);
  if (!(weight >= leastWeight && weight <= mostWeight)) {
    throw usageError(
      `--weight: ${flags.weight} is not a weight`,
      `write a number from 0.000001 to ${mostWeight}`,
    );
  }
  const scopes = flags.scope ?? ["jobs"];
  const tenant = flags.tenant ?? "default";
  if (tenant === "" || tenant.length > 128) throw usageError("--tenant: is empty or too long", "name it");
  const key = await (await open(context, flags)).add({ name, tenant, weight, scopes });
  await (flags.json === true ? context.stdout.json({ name, tenant, scopes, key }) : context.stdout.line(key));
  return exitCodes.ok;
}

async function listKeys(context: Context, flags: KeyFlags): Promise<number> {
  const keys = await (await open(context, flags)).list();
  if (flags.json === true) {
    await context.stdout.json({ keys });
    return exitCodes.ok;
  }
  const rows = keys.map((key) => [
    key.name,
    key.tenant,
    String(key.weight),
    key.scopes.join(","),
    key.createdAt,
    key.revokedAt,
  ]);
  await context.stdout.line(table(["NAME", "TENANT", "WEIGHT", "SCOPES", "CREATED", "REVOKED"], rows));
  return exitCodes.ok;
}

async function revokeKey(context: Context, flags: KeyFlags, [name = ""]: string[]): Promise<number> {
  await (await open(context, flags)).revoke(name);
  await (flags.json === true
    ? context.stdout.json({ name, revoked: true })
    : context.stdout.line(`${name} revoked`));
  return exitCodes.ok;
}

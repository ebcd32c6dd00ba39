/** `.sallyport/dev.json`: how a running `dev` is found by commands started below the same folder. */
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { z } from "zod";
import { configFault, zodFault } from "./fault.ts";

export const devStateDir = ".sallyport";
const devFileName = "dev.json";

const schema = z.strictObject({
  /** loopback only: the key goes to nobody else */
  url: z.url({ protocol: /^http$/, hostname: /^(127\.0\.0\.1|localhost|\[::1\])$/ }),
  keyFile: z.string().min(1),
  pid: z.int().min(1),
});
export type DevFile = z.output<typeof schema>;

export interface DevFileHandle extends Disposable {
  readonly path: string;
}

/** Tells where the running `dev` is; disposing it takes the word back. */
export function writeDevFile(stateDir: string, content: DevFile): DevFileHandle {
  const path = join(stateDir, devFileName);
  rmSync(path, { force: true });
  writeFileSync(path, `${JSON.stringify(content)}\n`, { mode: 0o600, flag: "wx" });
  return { path, [Symbol.dispose]: () => rmSync(path, { force: true }) };
}

/** The `dev` that runs for `cwd`: in `stateDir` when one is named, else in `.sallyport` here or in a parent folder. */
export function findDev(cwd: string, stateDir?: string): DevFile | undefined {
  if (stateDir !== undefined) return readDevFile(join(resolve(cwd, stateDir), devFileName));
  for (let folder = resolve(cwd); ; folder = dirname(folder)) {
    const found = readDevFile(join(folder, devStateDir, devFileName));
    if (found !== undefined || folder === dirname(folder)) return found;
  }
}

/** Undefined when it is not there or its process is gone. */
function readDevFile(path: string): DevFile | undefined {
  if (!existsSync(path)) return undefined;
  const fix = "remove it and start `sallyport dev` again";
  refuseForeign(path);
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, "utf8"));
  } catch {
    throw configFault("is not JSON", { source: path, key: "", fix });
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw zodFault(parsed.error, path, fix);
  return isAlive(parsed.data.pid) ? parsed.data : undefined;
}

/** Somebody else's file could send our key to their hub. */
function refuseForeign(path: string): void {
  const { uid, mode } = statSync(path);
  const me = process.getuid?.();
  if ((me === undefined || uid === me) && (mode & 0o022) === 0) return;
  throw configFault("belongs to, or can be written by, somebody else", {
    source: path,
    key: "",
    fix: "name the hub with --hub and --key-file",
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

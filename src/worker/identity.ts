import { randomUUID } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SallyportError } from "../errors.ts";

export interface WorkerIdentity {
  /** Stays with the folder */
  workerId: string;
  /** Fresh at every call */
  bootId: string;
  /** Above that of every earlier call */
  life: number;
}

const pattern = /^[A-Za-z0-9-]{1,64}$/;

/**
 * The worker's name from `dir/worker-id`, made at the first start, so that a restarted worker is known again and a copied host name
 * is not mistaken for it. Throws `store_unavailable` when the folder cannot be used and `config_invalid` when the file holds no id.
 */
export async function readWorkerIdentity(dir: string): Promise<WorkerIdentity> {
  const path = join(dir, "worker-id");
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await writeFile(path, `worker-${randomUUID()}\n`, { flag: "wx", mode: 0o600 }).catch(unlessThere);
    const workerId = (await readFile(path, "utf8")).trim();
    if (!pattern.test(workerId)) {
      throw new SallyportError("config_invalid", `${path}: does not hold a worker id`, {
        details: { fix: "remove the file to be given a new id" },
      });
    }
    return { workerId, bootId: randomUUID(), life: await nextLife(join(dir, "worker-life")) };
  } catch (error) {
    throw SallyportError.from(error, "store_unavailable");
  }
}

/** The time in `s`, or one more than the last: a clock that was set back orders lives as well as a file that was lost. */
async function nextLife(path: string): Promise<number> {
  const last = Number(await readFile(path, "utf8").catch(() => "0"));
  const now = Math.floor(Date.now() / 1_000);
  const life = Number.isSafeInteger(last) && last >= now ? last + 1 : now;
  await writeFile(path, `${life}\n`, { mode: 0o600 });
  return life;
}

function unlessThere(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}

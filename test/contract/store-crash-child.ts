/** Writes to the store at `argv[2]` (a folder, or the URL of a database) without end and prints a line for everything that was acknowledged; is there to be killed. */
import { silentLog } from "../../src/log.ts";
import { openPostgresStore, openSqliteStore } from "../../src/store/index.ts";
import { attemptOutcome, claimOne, logPart, newJob, openSession } from "../helpers/store.ts";

const [where = "", life = "", clients = "6"] = process.argv.slice(2);

const tell = (...words: (string | number)[]): boolean => process.stdout.write(`${words.join(" ")}\n`);

const deps = { log: silentLog() };
const store = where.startsWith("postgres:")
  ? await openPostgresStore(deps, { url: where })
  : await openSqliteStore(deps, { dir: where });
const session = await openSession(store, { bootId: life, leaseUntil: 1e12 });
tell("ready");

async function work(client: number): Promise<never> {
  for (let n = 0; ; n++) {
    const profile = `p${client}-${life}`;
    const id = `${life}-${client}-${n}`;
    await store.jobs.submit(newJob(id, { spec: { profile }, inputs: Buffer.from(id) }));
    tell("submitted", id);
    const { lease } = await claimOne(store, session.id, profile);
    await store.leases.accept(lease, 1);
    tell("accepted", id, lease.epoch);
    const part = logPart(["stdout", Buffer.alloc(3_000, id)]);
    const end = await store.log.append(lease, { from: 0, ...part });
    tell("appended", id, end);
    await store.leases.finish(lease, attemptOutcome({ exitCode: n % 7 }), 2);
    tell("finished", id, n % 7);
  }
}

await Promise.all(Array.from({ length: Number(clients) }, (_, client) => work(client)));

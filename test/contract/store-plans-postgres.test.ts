/** What the store's statements read of a database that has kept many jobs, by the plans they made while its tables were empty. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { steadyNow } from "../../src/async/index.ts";
import type { Store } from "../../src/store/index.ts";
import { PostgresHome, PostgresServer } from "../helpers/postgres.ts";
import { attemptOutcome, claimOne, logPart, newJob, openSession, profileOffer } from "../helpers/store.ts";

const server = await PostgresServer.start({
  settings: [
    "logging_collector=on",
    "log_directory=log",
    "log_filename=plans.log",
    "session_preload_libraries=auto_explain",
    "auto_explain.log_min_duration=0",
    "auto_explain.log_analyze=on",
    "auto_explain.log_timing=off",
    "auto_explain.log_format=json",
  ],
});
after(() => server[Symbol.asyncDispose]());

/** jobs that are over, and as many that wait elsewhere */
const kept = 2_000;
/** jobs that wait where some are claimed: so many that the indexes they stand in differ in height, which is what the planner sees of them */
const crowd = 20_000;
/** rows one node of a plan may read: far more than a call names, far fewer than are kept */
const bound = 100;

interface PlanNode {
  "Node Type": string;
  "Relation Name"?: string;
  "Actual Rows": number;
  "Actual Loops": number;
  "Rows Removed by Filter"?: number;
  "Rows Removed by Join Filter"?: number;
  "Rows Removed by Index Recheck"?: number;
  Plans?: PlanNode[];
}

interface Explained {
  "Query Text": string;
  Plan: PlanNode;
}

/** Every plan the server carried out so far, the oldest first. */
function carriedOut(): Explained[] {
  const log = readFileSync(join(server.dir, "data/log/plans.log"), "utf8");
  return [...log.matchAll(/ plan:\n((?:\t.*\n)+)/g)].map(([, json]) => JSON.parse(json ?? "") as Explained);
}

function nodesOf(plan: PlanNode): PlanNode[] {
  return [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];
}

function rowsRead(node: PlanNode): number {
  const removed =
    (node["Rows Removed by Filter"] ?? 0) +
    (node["Rows Removed by Join Filter"] ?? 0) +
    (node["Rows Removed by Index Recheck"] ?? 0);
  return (node["Actual Rows"] + removed) * node["Actual Loops"];
}

interface Read {
  rows: number;
  /** the node, and the statement it is of */
  by: string;
}

function largest(plans: readonly Explained[]): Read {
  const reads = plans.flatMap(({ Plan, ["Query Text"]: text }) =>
    nodesOf(Plan).map((node) => ({
      rows: rowsRead(node),
      by: `${node["Node Type"]} of ${node["Relation Name"] ?? "others"}: ${text}`,
    })),
  );
  return reads.reduce((most, next) => (next.rows > most.rows ? next : most), { rows: 0, by: "nothing" });
}

/** Everything a hub asks of its store on the way of one job, and beside it. */
async function everyCall(store: Store, round: string): Promise<void> {
  const session = (await openSession(store, { leaseUntil: steadyNow() + 60_000 })).id;
  const id = (name: string): string => `${round}-${name}`;
  const submit = (name: string): Promise<unknown> =>
    store.jobs.submit(
      newJob(id(name), { idempotencyKey: id(name), spec: { profile: round }, inputs: Buffer.from("in") }),
    );
  for (const name of ["works", "waits", "goes"]) await submit(name);
  const { lease } = await claimOne(store, session, round);
  await store.leases.accept(lease, 1);
  await store.leases.started(lease, 2);
  const part = logPart(["stdout", "out"], ["stderr", "err"]);
  await store.log.append(lease, { from: 0, ...part });
  await store.log.putArtifact(lease, {
    path: "a",
    offset: 0,
    bytes: Buffer.from("artifact"),
    complete: true,
  });
  await store.leases.renew(session, steadyNow() + 60_000);
  await store.leases.reconcile(session, [{ ...lease, kind: "job", from: 0, to: 0 }], 3);
  await store.leases.finish(lease, attemptOutcome({ logEnd: part.bytes.length }), 4);
  const offered = await claimOne(store, session, round);
  await store.leases.release(offered.lease, 5);
  await store.jobs.cancel(id("goes"), 6);
  await store.leases.expire(steadyNow());
  await store.leases.closeSession(session, 7);
  await store.fleet.saveProfiles("w1", [profileOffer()], 8);
  await readBack(store, lease.lease);
}

async function readBack(store: Store, job: string): Promise<void> {
  await store.jobs.get(job);
  await store.jobs.list({ tenant: "acme", limit: 10 });
  await store.jobs.list({ tenant: "acme", states: ["failed"], limit: 10 });
  await store.jobs.inputs(job, 0);
  await store.log.read(job, 1, 0, 1_000);
  await store.log.locate(job, 1, "stdout", 0);
  await store.log.end(job, 1);
  await store.log.artifacts(job);
  await (await store.jobs.artifact(job, "a"))?.read(0, 8);
  await store.leases.pools();
  await store.fleet.profiles();
  await store.fleet.workers();
}

/** As many calls would have left them. */
async function keepMany(schema: string): Promise<void> {
  await server.query(`
    SET search_path = "${schema}";
    INSERT INTO jobs (seq, id, tenant, profile, created_at, idempotency_key, request_digest, spec, state, finished_at, result)
    SELECT 1000000 + n, 'over-' || n, 'acme', 'python', n, 'key-' || n, 'd', '{}', 'succeeded', n, '{}'
      FROM generate_series(1, ${kept}) AS n;
    INSERT INTO jobs (seq, id, tenant, profile, created_at, request_digest, spec, state, finished_at, result)
    SELECT 3000000 + n, 'other-' || n, 'other', 'python', n, 'd', '{}', 'failed', n, '{}' FROM generate_series(1, ${kept}) AS n;
    INSERT INTO jobs (seq, id, tenant, profile, created_at, idempotency_key, request_digest, spec)
    SELECT 2000000 + n, 'waiting-' || n, 'acme', 'python', n, 'wait-' || n, 'd', '{}' FROM generate_series(1, ${kept}) AS n;
    INSERT INTO open_jobs (seq, id, pool, state, priority, vft, max_attempts, created_at, queued_at)
    SELECT 2000000 + n, 'waiting-' || n, 'elsewhere', 'queued', 0, n, 1, n, n FROM generate_series(1, ${kept}) AS n;
    INSERT INTO jobs (seq, id, tenant, profile, created_at, request_digest, spec)
    SELECT 4000000 + n, 'crowd-' || n, repeat('t', 100) || n % 100, 'new', n, 'd', '{}' FROM generate_series(1, ${crowd}) AS n;
    INSERT INTO open_jobs (seq, id, pool, state, priority, vft, max_attempts, created_at, queued_at, tenant)
    SELECT 4000000 + n, 'crowd-' || n, 'new', 'queued', n % 7, 1000 + n, 1, n, n, repeat('t', 100) || n % 100
      FROM generate_series(1, ${crowd}) AS n;
    INSERT INTO attempts (job, attempt, epoch, worker_id, leased_at, finished_at)
    SELECT 1000000 + n, 1, 2, 'w1', n, n FROM generate_series(1, ${kept}) AS n;
    INSERT INTO log (job, attempt, start, stop, stdout_before, stderr_before, stdout, stderr, bytes)
    SELECT 1000000 + n, 1, 0, 1, 0, 0, 1, 0, 'x' FROM generate_series(1, ${kept}) AS n;
    INSERT INTO inputs (job, part, bytes) SELECT 1000000 + n, 0, 'x' FROM generate_series(1, ${kept}) AS n;
    INSERT INTO artifacts (job, attempt, path, complete) SELECT 1000000 + n, 1, 'a', true FROM generate_series(1, ${kept}) AS n`);
}

test("no call reads more of a full database than it names, whether its plans were made when it was empty or are new", async (t) => {
  await using home = new PostgresHome(server, "plans");
  const store = await home.open();
  await everyCall(store, "first");
  await keepMany(home.schema);

  const plansOf = async (what: string, on: Store): Promise<void> => {
    const before = carriedOut().length;
    await everyCall(on, what);
    const plans = carriedOut().slice(before);
    const { rows, by } = largest(plans);
    assert.ok(plans.length > 40, `${what}: ${plans.length} plans were seen`);
    assert.ok(rows > 0 && rows <= bound, `${what}: ${rows} rows are read by ${by}`);
    t.diagnostic(`${what}: ${plans.length} plans, none reads more than ${rows} rows`);
  };
  await plansOf("old", store);
  await plansOf("new", await home.open());

  // plans of the store's own are noted beside it
  const seen = carriedOut().length;
  await server.query(
    `SET enable_indexscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM "${home.schema}".jobs`,
  );
  const control = largest(carriedOut().slice(seen));
  assert.ok(control.rows > kept, `a scan of the table is seen as one: ${control.rows} rows`);
});

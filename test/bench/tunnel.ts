/** Tool calls from a sandbox, the local and the remote way, beside the same program calling the server directly. */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Client } from "../../src/client/index.ts";
import { clientOf, main, startProgram, startRole, temporaryFolder } from "./processes.ts";
import { ms, ratio, type Bench, type Figure } from "./report.ts";
import { summarise, type Summary } from "./stats.ts";

const exec = promisify(execFile);
const callerFile = fileURLToPath(new URL("mcp-caller.mjs", import.meta.url));
const upstreamFile = fileURLToPath(new URL("mcp-upstream.ts", import.meta.url));
const domain = "tunnel.bench.internal";
const rounds = 5;
const callsPerRound = 2_000;
/** what one sandbox may ask for at once, and then again each second: a job of so many calls is never refused, however fast it is */
const rateCalls = 2_000;
/** V8 compiles less and less after some 15,000 calls */
const warmUpJobs = 9;
const ratesAtOnce = 16;

export const tunnel: Bench = { name: "tunnel", run };

interface Load {
  calls: number;
  atOnce: number;
}

interface Told {
  samples: number[];
  ms: number;
}

async function run(): Promise<Figure[]> {
  await using state = await temporaryFolder();
  await using upstream = await startProgram(upstreamFile, []);
  const url = upstream.ready.url ?? "";
  const files = await tunnelFiles(state.path, new URL(url).host);
  const dir = (name: string): string => join(state.path, name);
  await using hub = await startRole("hub", ["--listen", "127.0.0.1:0", "--state", dir("hub")]);
  const dialling = (role: string): string[] => {
    const token = join(dir("hub"), `${role}.token`);
    return ["--hub", hub.ready.url ?? "", "--token-file", token, "--state", dir(role)];
  };
  await using _connector = await startRole("connector", [...dialling("connector"), "--tunnel", files.far]);
  const ways = ["--tunnel", files.near, "--tunnel-ca", files.ca];
  await using _worker = await startRole("worker", [...dialling("worker"), ...ways, "--no-pool"]);
  const client = clientOf(hub.ready.url, join(dir("hub"), "admin.key"));
  return await figures(url, client);
}

/** Hub, connector and worker run for weeks: they are measured once the load of the rates has warmed them up. */
async function figures(url: string, client: Client): Promise<Figure[]> {
  const fast = { calls: rateCalls, atOnce: ratesAtOnce };
  for (let job = 0; job < warmUpJobs; job += 1)
    for (const way of ["near", "far"]) await callInside(client, way, fast);
  const rates = {
    direct: await callDirectly(url, fast),
    near: await callInside(client, "near", fast),
    far: await callInside(client, "far", fast),
  };
  const samples = { direct: [] as number[], near: [] as number[], far: [] as number[] };
  const slow = { calls: callsPerRound, atOnce: 1 };
  for (let round = 0; round < rounds; round += 1) {
    samples.direct.push(...(await callDirectly(url, slow)).samples);
    samples.near.push(...(await callInside(client, "near", slow)).samples);
    samples.far.push(...(await callInside(client, "far", slow)).samples);
  }
  const direct = summarise(samples.direct);
  return (["near", "far"] as const).flatMap((way) => [
    added(way, summarise(samples[way]), direct),
    rate(way, rates[way], rates.direct),
  ]);
}

const names = { near: "local way", far: "remote way" };
const hops = {
  near: "guest, gateway (TLS ended, tool policy, audit), the worker's own route",
  far: "guest, gateway, worker's channel, hub, connector's channel, inner TLS, route",
};

function added(way: "near" | "far", tunnelled: Summary, direct: Summary): Figure {
  const [p50, p99] = [tunnelled.p50 - direct.p50, tunnelled.p99 - direct.p99];
  return {
    what: `tunnel hop added to a tool call, ${names[way]}`,
    value: `p50 +${ms(p50)}, p99 +${ms(p99)} (p50 ${ms(tunnelled.p50)} and ${ms(direct.p50)} = ${ratio(tunnelled.p50 / direct.p50)}; max ${ms(tunnelled.max)} and ${ms(direct.max)})`,
    budget: "added p50 ≤ 1 ms, p99 ≤ 5 ms",
    held: p50 <= 1 && p99 <= 5,
    n: tunnelled.n,
    mode: `closed loop of one, ${rounds} rounds of ${callsPerRound} calls in turn with the direct one, each by a fresh caller; after ${(warmUpJobs + 1) * rateCalls} calls each way to warm up`,
    includes: `a kept-alive HTTPS connection in a sandbox: ${hops[way]}; no pool, which would be refilled meanwhile; direct: plain HTTP on the host`,
    raw: { tunnelled, direct },
  };
}

function rate(way: "near" | "far", told: Told, direct: Told): Figure {
  const perSecond = (told.samples.length * 1_000) / told.ms;
  const directly = (direct.samples.length * 1_000) / direct.ms;
  const spread = summarise(told.samples);
  return {
    what: `tool calls through one worker, ${names[way]}`,
    value: `${perSecond.toFixed(0)} calls/s (p50 ${ms(spread.p50)}, p99 ${ms(spread.p99)}); directly ${directly.toFixed(0)}/s`,
    budget: "≥ 1,000 calls/s",
    held: perSecond >= 1_000,
    n: told.samples.length,
    mode: `closed loop of ${ratesAtOnce} in one sandbox, after ${warmUpJobs * rateCalls} calls each way to warm up`,
    includes: `caller, upstream and every hop on this host: ${hops[way]}`,
    raw: { perSecond, directly, spread },
  };
}

async function callDirectly(url: string, { calls, atOnce }: Load): Promise<Told> {
  const env = { MCP_URL: url, CALLS: String(calls), AT_ONCE: String(atOnce) };
  const { stdout } = await exec(process.execPath, [callerFile], { env, maxBuffer: 2 ** 24 });
  return JSON.parse(stdout) as Told;
}

async function callInside(client: Client, route: string, { calls, atOnce }: Load): Promise<Told> {
  const job = await client.jobs.submit({
    profile: "node",
    code: await readFile(callerFile, "utf8"),
    env: { MCP_URL: `https://${route}.${domain}/mcp`, CALLS: String(calls), AT_ONCE: String(atOnce) },
    mcp: [{ host: route, tools: ["nothing"] }],
  });
  const done = await client.jobs.get(job.id, { waitMs: 60_000 });
  const text = async (stream: AsyncIterable<Uint8Array>): Promise<string> =>
    Buffer.concat(await Array.fromAsync(stream)).toString("utf8");
  if (done.result?.state === "succeeded")
    return JSON.parse(await text(await client.jobs.stdout(job.id))) as Told;
  throw new Error(`${route}: ${JSON.stringify(done.result)} ${await text(await client.jobs.stderr(job.id))}`);
}

async function tunnelFiles(
  dir: string,
  upstream: string,
): Promise<{ ca: string; near: string; far: string }> {
  const certs = join(dir, "certs");
  await exec(process.execPath, [main, "certs", "init", "--domain", domain, "--output", certs]);
  const write = async (route: string): Promise<string> => {
    const path = join(dir, `${route}.yaml`);
    const tls = `tls: { cert_file: ${certs}/tls.crt, key_file: ${certs}/tls.key }`;
    const routes = `routes: { ${route}: "http://${upstream}" }`;
    await writeFile(
      path,
      `tunnel_domain: ${domain}\n${tls}\n${routes}\nupstream: { allowed_ips: [127.0.0.1] }\n`,
    );
    return path;
  };
  return { ca: join(certs, "ca.crt"), near: await write("near"), far: await write("far") };
}

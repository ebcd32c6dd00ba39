/** Tool calls while the channels on both sides of the hub are cut again and again: none runs twice, none is left without an answer. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { hubSettings } from "../../src/config/index.ts";
import { createGateway } from "../../src/egress/index.ts";
import { SallyportError } from "../../src/errors.ts";
import { silentLog } from "../../src/log.ts";
import { startSampleServer, type SampleServer } from "../../src/mcp/index.ts";
import { runHub } from "../../src/roles/hub.ts";
import { openTunnelFile } from "../../src/roles/live-tunnel.ts";
import { forwardRemote, initCertificates } from "../../src/tunnel/index.ts";
import { FaultProxy } from "../helpers/fault-proxy.ts";
import { LoopbackGuest } from "../helpers/gateway-rig.ts";
import { eventually } from "../helpers/hub.ts";
import { RunningRole } from "../helpers/running-role.ts";
import { TestConnector } from "../helpers/tunnel.ts";

const domain = "tunnel.example";
const host = `docs.${domain}`;
const calls = 1_000;
const cuts = 50;
const atOnce = 8;

const stack = new AsyncDisposableStack();
const links: FaultProxy[] = [];
let sample: SampleServer;
let guest: LoopbackGuest;
let agent: Agent;

interface Answer {
  status: number;
  session: string | undefined;
  message: Message;
}

interface Message {
  result?: unknown;
  /** a JSON-RPC error, or the code of a failure reply */
  error?: { data?: { reason?: string } } | string;
}

before(async () => {
  const dir = await mkdtemp(join(tmpdir(), "sallyport-cuts-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  await initCertificates({ dir, domain, days: 10, key: "ecdsa-p256" });
  sample = stack.use(await startSampleServer());
  const lines = [
    `tunnel_domain: ${domain}`,
    "shutdown_timeout: 1s",
    "tls: { cert_file: tls.crt, key_file: tls.key }",
    `routes: { docs: "${new URL(sample.url).origin}" }`,
    "upstream: { allowed_ips: [127.0.0.1] }",
  ];
  await writeFile(join(dir, "tunnel.yaml"), `${lines.join("\n")}\n`);
  const state = join(dir, "hub");
  const flags = { listen: "127.0.0.1:0", state, logLevel: "silent" };
  const hub = new RunningRole((roleHost) => runHub(hubSettings(flags, {}, dir), roleHost));
  stack.defer(async () => void (await hub.stop()));
  const port = Number(new URL(String((await hub.ready.promise)["url"])).port);
  const [near, far] = [await FaultProxy.start(() => port), await FaultProxy.start(() => port)];
  links.push(stack.use(near), stack.use(far));
  const token = (await readFile(join(state, "connector.token"), "utf8")).trim();
  const nowhere = { open: async () => await Promise.reject(new SallyportError("route_unavailable", "no")) };
  const use = { file: join(dir, "tunnel.yaml"), need: "connector", connector: "far", peer: nowhere } as const;
  const watchHangups = (): Disposable => ({ [Symbol.dispose]: () => undefined });
  const { offer } = stack.use(await openTunnelFile(use, { host: { watchHangups }, log: silentLog() }));
  stack.use(await TestConnector.start({ url: far.url, token, connectorId: "far", offer }));
  const { end } = stack.use(await TestConnector.start({ url: near.url, token, connectorId: "worker-side" }));
  const remote = stack.use(forwardRemote({ remote: end, caFiles: [join(dir, "ca.crt")] }));
  const audit = { record: () => undefined };
  const way = {
    routes: () => end.routes(),
    onChange: (listener: () => void) => end.onChange(listener),
    forward: remote.forward,
  };
  const gateway = stack.use(createGateway({ remote: way, audit, log: silentLog() }));
  await eventually(() => gateway.hosts().includes(host));
  guest = new LoopbackGuest();
  const subject = { job: "job", sandbox: "sandbox", profile: "python" };
  stack.use(await gateway.attach(guest, subject, [{ host: "docs", tools: ["count"] }]));
  agent = Object.assign(new Agent({ maxSockets: atOnce }), {
    createConnection: () => guest.dial(80),
  });
  stack.defer(() => agent.destroy());
});

after(async () => await stack.disposeAsync());

async function post(body: object, session?: string): Promise<Answer> {
  const headers = {
    host,
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    ...(session !== undefined && { "mcp-session-id": session }),
  };
  return await new Promise((resolve, reject) => {
    const sent = request({ method: "POST", path: "/mcp", headers, agent }, (reply) => {
      text(reply).then((said) => {
        const id = reply.headers["mcp-session-id"];
        const known = typeof id === "string" ? id : session;
        resolve({ status: reply.statusCode ?? 0, session: known, message: messageIn(said) });
      }, reject);
    });
    sent.once("error", reject).end(JSON.stringify({ jsonrpc: "2.0", ...body }));
  });
}

/** The message of a JSON reply, or the last one of an event stream. */
function messageIn(said: string): Message {
  const data = said.split("\n").findLast((line) => line.startsWith("data: {"));
  const json = data?.slice("data: ".length) ?? said;
  return json.trim() === "" ? {} : (JSON.parse(json) as Message);
}

async function openSession(): Promise<string> {
  const clientInfo = { name: "cuts", version: "1" };
  const params = { protocolVersion: "2025-06-18", capabilities: {}, clientInfo };
  const { session } = await post({ id: 0, method: "initialize", params });
  assert.ok(session !== undefined);
  await post({ method: "notifications/initialized" }, session);
  return session;
}

type Kind = "answered" | "unknown" | "not sent";

const neverSent = [
  "route_unavailable",
  "route_unknown",
  "channel_closed",
  "stream_reset",
  "upstream_unreachable",
];

/** A reply of no known kind fails the test: it is an answer nobody can act on. */
function kindOf({ status, message }: Answer, label: string): Kind {
  if (message.result !== undefined) return "answered";
  const { error } = message;
  const reason = typeof error === "string" ? error : error?.data?.reason;
  if (reason === "outcome_unknown") return "unknown";
  assert.ok(neverSent.includes(reason ?? ""), `${label}: ${status} ${JSON.stringify(message)}`);
  return "not sent";
}

interface Run {
  /** how the last call of each label was answered */
  ends: Map<string, Kind>;
  notSent: number;
}

/** A call for each label, again while `again` says so, cutting a link after every so many. */
async function run(name: string, again: (kind: Kind) => boolean): Promise<Run> {
  const session = await openSession();
  const seed = Math.trunc(Math.random() * 2 ** 31);
  console.log(`# seed ${seed}`);
  const random = seeded(seed);
  const done: Run = { ends: new Map(), notSent: 0 };
  let next = 0;
  const callFor = async (number: number): Promise<void> => {
    const label = `${name}-${number}`;
    const params = { name: "count", arguments: { label } };
    for (;;) {
      const answer = await post({ id: number + 1, method: "tools/call", params }, session);
      const kind = kindOf(answer, label);
      done.ends.set(label, kind);
      if (kind === "not sent") done.notSent += 1;
      if (!again(kind)) return;
      await sleep(20);
    }
  };
  const caller = async (): Promise<void> => {
    while (next < calls) {
      const number = next++;
      if (number % (calls / cuts) === 10)
        links[random() < 0.5 ? 0 : 1]?.cut(random() < 0.5 ? "fin" : "reset");
      await callFor(number);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, caller));
  return done;
}

function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return state / 0x7fffffff;
  };
}

const timesIn = (ledger: readonly string[]): Map<string, number> =>
  ledger.reduce((times, label) => times.set(label, (times.get(label) ?? 0) + 1), new Map<string, number>());

test("a thousand calls, fifty cuts: nothing runs twice, every call is answered, and every answer is true", async () => {
  // a call that is said not to have been sent is made again: were that untrue, its label would be there twice
  const { ends, notSent } = await run("once", (kind) => kind === "not sent");
  const times = timesIn(sample.ledger.counted);
  const ended = (kind: Kind): string[] =>
    [...ends].flatMap(([label, each]) => (each === kind ? [label] : []));
  const [answered, unknown] = [ended("answered"), ended("unknown")];
  console.log(`# ${answered.length} answered, ${unknown.length} unknown, ${notSent} times not sent`);
  assert.equal(answered.length + unknown.length, calls);
  assert.deepEqual(
    [...times].filter(([, count]) => count > 1),
    [],
  );
  assert.deepEqual(
    answered.filter((label) => times.get(label) !== 1),
    [],
  );
  assert.ok(unknown.length + notSent > 0, "the cuts were felt");
});

test("control: a caller that repeats what is unknown does see tools run twice", async () => {
  for (let round = 0; round < 5; round += 1) {
    const before = sample.ledger.counted.length;
    await run(`again${round}`, (kind) => kind !== "answered");
    const times = timesIn(sample.ledger.counted.slice(before));
    if ([...times.values()].some((count) => count > 1)) return;
  }
  assert.fail("no call ran twice: the cuts never fell between a call and its answer");
});

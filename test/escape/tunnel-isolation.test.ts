/** What a job was not granted is not there: no listener, no session of another job, no credential of a route. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { openAuditLog, type AuditLog } from "../../src/audit/index.ts";
import { readCredential } from "../../src/config/index.ts";
import { createGateway, type Gateway, type Grant } from "../../src/egress/index.ts";
import { startSampleServer, type SampleServer } from "../../src/mcp/index.ts";
import type { Sandbox } from "../../src/sandbox/index.ts";
import { requireEngine } from "../helpers/docker.ts";
import { attack, attempt, EscapeRoom, run, stillServes } from "../helpers/escape.ts";
import { domain, folder, recordingLog, rig as startTunnel, type Folder } from "../unit/tunnel/proxy/rig.ts";
import { upstream, valuesOf, type Upstream } from "../unit/tunnel/proxy/upstream.ts";

const skip = await requireEngine();
const host = (name: string): string => `${name}.${domain}`;
const hosts = ["docs", "kept", "plain"].map(host);
const ports = [443, 80, 3128];

interface Said {
  status: number;
  head: string;
  body: string;
}

describe("tunnel isolation", { skip }, () => {
  const stack = new AsyncDisposableStack();
  const secret = randomBytes(24).toString("hex");
  const log = recordingLog();
  let dir: Folder;
  let room: EscapeRoom;
  let sample: SampleServer;
  let echo: Upstream;
  let audit: AuditLog;
  let gateway: Gateway;
  let [a, b, ungranted] = [] as unknown as [Sandbox, Sandbox, Sandbox];

  before(async () => {
    room = stack.use(await EscapeRoom.open("tunnel-isolation"));
    stack.defer(() => stillServes(room));
    dir = stack.use(await folder());
    sample = stack.use(await startSampleServer());
    echo = stack.use(await upstream(sayAllBack));
    const file = join(dir.path, "credential");
    await writeFile(file, `${secret}\n`, { mode: 0o600 });
    const credential = { header: "authorization", prefix: "Bearer ", from: { file } };
    const routes = { docs: sample.port, kept: echo.port, plain: echo.port };
    const deps = { log: log.log, readSecret: readCredential };
    const { tunnel } = stack.use(await startTunnel({ routes, settings: { kept: { credential } } }, deps));
    audit = stack.use(await openAuditLog({ log: log.log }, { dir: join(dir.path, "audit") }));
    gateway = stack.use(createGateway({ local: tunnel, audit, log: log.log }));
    const grants = ["docs", "kept", "plain"].map((name) => ({ host: host(name) }));
    [a, b, ungranted] = await Promise.all([program("a", grants), program("b", grants), program("none", [])]);
  });
  after(() => stack.disposeAsync());

  /** Every one is made alike, with every name written into it, as those are that wait for a job. */
  async function program(name: string, grants: readonly Grant[]): Promise<Sandbox> {
    const sandbox = stack.use(await room.create("python", hosts));
    const subject = { job: `job-${name}`, sandbox: name, profile: "python" };
    stack.use(await gateway.attach(sandbox.guest, subject, grants));
    return sandbox;
  }

  const say = async (sandbox: Sandbox, lines: readonly string[]): Promise<Said[]> => {
    const plan = lines.map((text) => ({ port: 80, text, wait: 1 }));
    return await attempt<Said[]>(sandbox, attack("hosts", JSON.stringify(plan)));
  };
  const ask = (name: string, headers: Record<string, string> = {}, body = ""): string => {
    const own = { host: host(name), connection: "close", "content-length": String(body.length), ...headers };
    const lines = Object.entries(own).map(([key, value]) => `${key}: ${value}\r\n`);
    return `POST /mcp HTTP/1.1\r\n${lines.join("")}\r\n${body}`;
  };
  const mcp = (body: object, session?: string): string => {
    const types = { "content-type": "application/json", accept: "application/json, text/event-stream" };
    const own = session === undefined ? types : { ...types, "mcp-session-id": session };
    return ask("docs", own, JSON.stringify({ jsonrpc: "2.0", ...body }));
  };

  test("a job without a grant has no listener, though its sandbox knows every name", async () => {
    const tried = (sandbox: Sandbox): Promise<string[]> =>
      attempt<string[]>(sandbox, [
        "python3",
        "-I",
        "-c",
        knocking,
        JSON.stringify(hosts),
        JSON.stringify(ports),
      ]);
    const refused = new Set(await tried(ungranted));
    assert.deepEqual([...refused], ["listening: 0", "ConnectionRefusedError"]);
    const open = new Set(await tried(a));
    assert.deepEqual(
      [...open],
      [`listening: ${ports.length}`, "connected"],
      "control: with a grant it has them",
    );
  });

  test("an MCP session of another job is unknown, and the server is not asked", async () => {
    const params = {
      protocolVersion: "2025-06-18",
      capabilities: {},
      clientInfo: { name: "t", version: "1" },
    };
    const [begun] = await say(a, [mcp({ id: 0, method: "initialize", params })]);
    const session = /^mcp-session-id: (.+)$/im.exec(begun?.head ?? "")?.[1];
    assert.ok(session !== undefined, begun?.body);
    const call = { id: 1, method: "tools/call", params: { name: "count", arguments: { label: "taken" } } };
    const ended = mcp({}, session).replace("POST", "DELETE");
    const stolen = [
      mcp(call, session),
      mcp(call, session).replace("mcp-session-id", "Mcp_Session_Id"),
      ended,
    ];
    const listen = `GET /mcp HTTP/1.1\r\nhost: ${host("docs")}\r\naccept: text/event-stream\r\nmcp-session-id: ${session}\r\n\r\n`;
    const said = await say(b, [...stolen, listen]);
    assert.deepEqual(
      said.map(({ status }) => status),
      [404, 404, 404, 404],
    );
    assert.ok(said.every(({ head, body }) => !`${head}${body}`.includes(session)));
    assert.deepEqual([sample.ledger.counted, sample.sessions], [[], 1]);
    const [own] = await say(a, [mcp(call, session)]);
    assert.deepEqual(
      [own?.status, sample.ledger.counted],
      [200, ["taken"]],
      "control: its own job goes on with it",
    );
  });

  test("a route's credential reaches its upstream, and nothing that a job or a log can see", async () => {
    const marker = randomBytes(24).toString("hex");
    await run(a, ["sh", "-c", 'printf %s "$MARK" > /workspace/marker'], { env: { MARK: marker } });
    const [kept, inEvents, plain] = await say(a, [
      ask("kept", { authorization: "Bearer mine", "x-way": "body" }),
      ask("kept", { accept: "text/event-stream", "x-way": "pieces" }),
      ask("plain", { authorization: `Bearer ${marker}`, "x-way": "body" }),
    ]);
    const stamped = echo.requests.flatMap(({ headers }) => valuesOf(headers, "authorization"));
    assert.ok(stamped.filter((value) => value === `Bearer ${secret}`).length >= 2, "it was stamped");
    assert.ok(!stamped.includes("Bearer mine"));
    for (const said of [kept, inEvents]) {
      assert.equal(said?.status, 200, said?.body);
      // without the sizes of chunks, which could stand within it
      const told = `${said.head}${said.body.replaceAll(/\r\n[0-9a-f]+\r\n/g, "")}`;
      assert.ok(!told.includes(secret) && !said.body.includes(secret.slice(0, 16)));
      assert.ok(told.includes(`Bearer ${"*".repeat(secret.length)}`), "the echo was there to be blotted out");
    }
    assert.ok(plain?.body.includes(marker), "control: what is no credential comes back");

    const words = [secret, marker].map((word) => Buffer.from(word).toString("base64"));
    const found = await attempt<{ word: number; place: string }[]>(
      a,
      attack("search", JSON.stringify(words)),
      {
        env: { MARK: marker },
      },
    );
    assert.deepEqual(
      found.filter(({ word }) => word === 0),
      [],
    );
    const places = found.filter(({ word }) => word === 1).map(({ place }) => place);
    assert.ok(places.includes("env") && places.includes("/workspace/marker"), "control: the search finds");
  });

  test("a credential that its upstream says back in another spelling is blotted out too", async () => {
    const marker = randomBytes(24).toString("hex");
    for (const way of Object.keys(spellings)) {
      const stamped = echo.requests.length;
      const [kept, plain] = await say(a, [
        ask("kept", { "x-way": way }),
        ask("plain", { "x-way": way, authorization: `Bearer ${marker}` }),
      ]);
      const sent = echo.requests.slice(stamped).flatMap(({ headers }) => valuesOf(headers, "authorization"));
      assert.ok(sent.includes(`Bearer ${secret}`), "its upstream had it");
      assert.deepEqual([kept?.status, plain?.status], [200, 200]);
      assert.ok(!readsOut(kept, secret.slice(0, 16)) && !readsOut(kept, secret.slice(-16)), way);
      assert.ok(readsOut(plain, marker), `control: ${way} can be read out where nothing is blotted out`);
    }
  });

  test("no log and no audit line holds it", async () => {
    await audit.flush();
    // the head is written beside its place and then put there
    const files = (await readdir(join(dir.path, "audit"))).filter((file) => !file.endsWith(".next"));
    const read = await Promise.all(files.map((file) => readFile(join(dir.path, "audit", file), "utf8")));
    const lines = `${read.join("")}${JSON.stringify(log.lines)}`;
    assert.ok(!lines.includes(secret));
    assert.ok(
      read.join("").includes(host("kept")) && log.lines.length > 0,
      "control: the requests are told there",
    );
  });
});

/** How an upstream may say a header's value back */
const spellings: Record<string, (said: string) => string> = {
  base64: (said) => Buffer.from(said).toString("base64"),
  "base64, one byte on": (said) => Buffer.from(`.${said}`).toString("base64"),
  "base64, two bytes on": (said) => Buffer.from(`..${said}`).toString("base64url"),
  basic: (said) => `Basic ${Buffer.from(`user:${said.slice("Bearer ".length)}`).toString("base64")}`,
  percent: (said) => [...Buffer.from(said)].map((byte) => `%${byte.toString(16)}`).join(""),
};

/** Whether what was said holds the word for somebody who undoes every spelling. */
function readsOut({ head, body }: Said = { status: 0, head: "", body: "" }, word: string): boolean {
  // without the sizes of chunks, which could stand within it
  const told = `${head} ${body.replaceAll(/\r\n[0-9a-f]+\r\n/g, "")}`;
  const coded = told.match(/[\w+/*-]{16,}/g) ?? [];
  // a blot is no base64: something has to stand for it, or what follows would be read shifted
  const decoded = coded.map((each) => Buffer.from(each.replaceAll("*", "A"), "base64").toString("latin1"));
  const unescaped = told.replaceAll(/%([0-9a-f]{2})/gi, (_all, hex: string) =>
    String.fromCharCode(parseInt(hex, 16)),
  );
  return [told, unescaped, ...decoded].some((text) => text.includes(word));
}

/** Says the request's headers back: as an own header and in the body, or as pieces that split them. */
const sayAllBack: Parameters<typeof upstream>[0] = (message, reply) => {
  const said = String(message.headers.authorization);
  const way = String(message.headers["x-way"]);
  if (way === "body") {
    reply.writeHead(200, { "x-echo": said }).end(JSON.stringify(message.headers));
    return;
  }
  const spelled = spellings[way]?.(said) ?? said;
  const header = way === "pieces" ? {} : { "x-echo": spelled };
  reply.writeHead(200, { "content-type": "text/event-stream", ...header });
  const event = `data: ${spelled}\n\n`;
  const pieces = event.match(/.{1,7}|\n+/gs) ?? [];
  for (const piece of pieces) reply.write(piece);
  reply.end();
};

const knocking = `
import json, socket, sys
hosts, ports = json.loads(sys.argv[1]), json.loads(sys.argv[2])
def knock(host, port):
    try:
        socket.create_connection((host, port), 2).close()
        return "connected"
    except OSError as error:
        return type(error).__name__
tables = [open(f"/proc/net/{name}").read().splitlines()[1:] for name in ("tcp", "tcp6")]
listening = sum(line.split()[3] == "0A" for table in tables for line in table)
print(json.dumps([f"listening: {listening}"] + [knock(h, p) for h in hosts + ["127.0.0.1"] for p in ports]))
`;

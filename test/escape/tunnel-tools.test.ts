/** However a program in a sandbox asks for a tool that its job was not granted, the server behind the tunnel never carries it out. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createGateway, type Grant } from "../../src/egress/index.ts";
import { silentLog } from "../../src/log.ts";
import { startSampleServer, type SampleServer } from "../../src/mcp/index.ts";
import type { Sandbox } from "../../src/sandbox/index.ts";
import { requireEngine } from "../helpers/docker.ts";
import { attack, attempt, EscapeRoom, stillServes } from "../helpers/escape.ts";
import { denied, granted, invalid, json, mismatches, type ToolAttack } from "../helpers/tool-attacks.ts";
import { domain, rig as startTunnel } from "../unit/tunnel/proxy/rig.ts";
import { callText, listText } from "../unit/mcp/rig.ts";

const skip = await requireEngine();
const host = `docs.${domain}`;

interface Line {
  port: number;
  text: string;
  tls?: string;
  slowly?: boolean;
  wait?: number;
}

interface Said {
  status: number;
  head: string;
  body: string;
}

interface Program {
  sandbox: Sandbox;
  /** of an MCP session that was opened from inside */
  session: string;
}

const wholeOf = (bytes: string | Uint8Array): string => Buffer.from(bytes as string).toString("latin1");
const call = wholeOf(callText("delete_everything"));

describe("tunnel tools", { skip }, () => {
  const stack = new AsyncDisposableStack();
  let room: EscapeRoom;
  let sample: SampleServer;
  let bound: Program;
  let free: Program;

  before(async () => {
    room = stack.use(await EscapeRoom.open("tunnel-tools"));
    stack.defer(() => stillServes(room));
    sample = stack.use(await startSampleServer());
    const { tunnel } = stack.use(await startTunnel({ routes: { docs: sample.port } }));
    const audit = { record: () => undefined, digest: () => "" };
    const gateway = stack.use(createGateway({ local: tunnel, audit, log: silentLog() }));
    const program = async (name: string, grant: Grant): Promise<Program> => {
      const sandbox = stack.use(await room.create("python", [host]));
      const subject = { job: `job-${name}`, sandbox: name, profile: "python" };
      stack.use(await gateway.attach(sandbox.guest, subject, [grant]));
      return { sandbox, session: await openSession(sandbox) };
    };
    [bound, free] = await Promise.all([
      program("bound", { host, tools: granted }),
      program("free", { host }),
    ]);
  });
  after(() => stack.disposeAsync());

  const say = async (sandbox: Sandbox, lines: readonly Line[]): Promise<Said[]> =>
    await attempt<Said[]>(sandbox, attack("hosts", JSON.stringify(lines)));
  const head = (
    program: Pick<Program, "session"> | null,
    more: readonly (readonly [string, string])[] = [],
  ): string =>
    [
      ["host", host],
      ["accept", "application/json, text/event-stream"],
      ...(program === null ? [] : [["mcp-session-id", program.session]]),
      ...more,
    ].reduce((lines, [name, value]) => `${lines}${name}: ${value}\r\n`, "");
  const post = (text: string, headers: string, target = "/mcp", method = "POST"): string =>
    `${method} ${target} HTTP/1.1\r\n${headers}content-length: ${text.length}\r\nconnection: close\r\n\r\n${text}`;
  const asked = (
    program: Pick<Program, "session"> | null,
    { bytes, headers = json, method }: ToolAttack,
  ): Line => ({
    port: 80,
    text: post(wholeOf(bytes), head(program, headers), "/mcp", method),
    wait: 1,
  });

  async function openSession(sandbox: Sandbox): Promise<string> {
    const params = {
      protocolVersion: "2025-06-18",
      capabilities: {},
      clientInfo: { name: "t", version: "1" },
    };
    const bytes = JSON.stringify({ jsonrpc: "2.0", id: 0, method: "initialize", params });
    const [said] = await say(sandbox, [asked(null, { name: "initialize", bytes })]);
    const session = /^mcp-session-id: (.+)$/im.exec(said?.head ?? "")?.[1];
    assert.ok(session !== undefined, said?.body);
    return session;
  }

  const bodies = [...denied, ...invalid, ...mismatches];

  test("no body and no header makes a tool run that is not granted", async () => {
    const said = await say(
      bound.sandbox,
      bodies.map((each) => asked(bound, each)),
    );
    assert.equal(sample.ledger.deletions, 0);
    said.forEach(({ status, body }, at) => {
      const name = bodies[at]?.name;
      if (at < denied.length) assert.match(body, /"reason":"tool_not_allowed"/, name);
      else assert.ok(status >= 400, `${name}: ${status} ${body}`);
    });
  });

  /** The same call, in other ways of saying a request */
  const ways = (program: Program): Line[] => {
    const typed = head(program, json);
    const plain = post(call, typed);
    const keep = `POST /mcp HTTP/1.1\r\n${typed}`;
    const pieces = Array.from(call, (letter) => `1\r\n${letter}\r\n`).join("");
    const search = wholeOf(callText("search_docs", 2, { query: "leave" }));
    const targets = ["/mcp/", "//mcp", "/MCP", "/mcp?a=b", "/mcp;a", "/%6dcp", "/x/../mcp", "/mcp#a", "/"];
    return [
      { port: 80, text: plain },
      { port: 80, text: plain, slowly: true },
      { port: 443, tls: host, text: plain },
      { port: 3128, text: plain.replace("/mcp", `http://${host}/mcp`) },
      { port: 3128, text: `CONNECT ${host}:80 HTTP/1.1\r\nhost: ${host}:80\r\n\r\n${plain}` },
      { port: 80, text: `${keep}transfer-encoding: chunked\r\nconnection: close\r\n\r\n${pieces}0\r\n\r\n` },
      { port: 80, text: `${keep}content-length: ${search.length}\r\n\r\n${search}${plain}` },
      {
        port: 80,
        text: `${keep}expect: 100-continue\r\ncontent-length: ${call.length}\r\nconnection: close\r\n\r\n${call}`,
      },
      { port: 80, text: post(call, `${typed}x-http-method-override: GET\r\n`) },
      ...targets.map((target) => ({ port: 80, text: post(call, typed, target) })),
    ].map((line) => ({ wait: 1, ...line }));
  };

  test("no way of saying the request does: pieces, pipelines, the proxy, TLS, other paths", async () => {
    await say(bound.sandbox, ways(bound));
    assert.equal(sample.ledger.deletions, 0);
  });

  test("the list shows only what is granted, and that works", async () => {
    const list = asked(bound, { name: "list", bytes: listText() });
    const search = asked(bound, { name: "search", bytes: callText("search_docs", 2, { query: "leave" }) });
    const [listed, found] = await say(bound.sandbox, [list, search]);
    assert.deepEqual([...toolsIn(listed)].toSorted(), [...granted].toSorted());
    assert.match(found?.body ?? "", /25 days/);
    assert.equal(sample.ledger.deletions, 0);
  });

  test("control: where every tool is granted, the same bytes run it, and it is listed", async () => {
    const told = async (lines: Line[]): Promise<number> => {
      const before = sample.ledger.deletions;
      await say(free.sandbox, lines);
      return sample.ledger.deletions - before;
    };
    const [listed] = await say(free.sandbox, [asked(free, { name: "list", bytes: listText() })]);
    assert.ok(toolsIn(listed).includes("delete_everything"));
    const byWay = await told(ways(free));
    // DELETE ends the session that all others need
    const alike = bodies.filter(({ method }) => method !== "DELETE");
    const byBody = await told(alike.map((each) => asked(free, each)));
    assert.ok(byBody >= 15 && byWay >= 9, `${byBody} by body, ${byWay} by way`);
  });
});

function toolsIn(said: Said | undefined): string[] {
  const data = /^(?:data: )?(\{.*\})\s*$/m.exec(said?.body ?? "")?.[1];
  const { result } = JSON.parse(data ?? "{}") as { result?: { tools: { name: string }[] } };
  return (result?.tools ?? []).map(({ name }) => name);
}

/** What a hub makes of others that answer wrongly, too much, too late or not at all. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { hostname } from "node:os";
import { test } from "node:test";
import { z } from "zod";
import { deferred } from "../../../src/async/index.ts";
import { SallyportError, isError } from "../../../src/errors.ts";
import { Neighbours, type NeighboursOptions } from "../../../src/hub/neighbours/neighbours.ts";
import { advertisedName, advertisedUrl } from "../../../src/hub/options.ts";
import { silentLog } from "../../../src/log.ts";
import type { HubRecord } from "../../../src/store/index.ts";

const own = "hub-own";
const question = { method: "GET", path: "/v1/x" } as const;
const schema = z.object({ ok: z.boolean() });

async function listening(handler: RequestListener): Promise<{ url: string } & AsyncDisposable> {
  const server = createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, [Symbol.asyncDispose]: close };
}

function among(hubs: HubRecord[], options: Partial<NeighboursOptions> = {}): Neighbours {
  const directory = {
    live: () => Promise.resolve([{ hubId: own, url: "http://127.0.0.1:1", secret: "s" }, ...hubs]),
    announce: () => Promise.resolve(),
    leave: () => Promise.resolve(),
  };
  return new Neighbours({ directory, log: silentLog() }, { hubId: own, ...options });
}

const record = (hubId: string, url: string): HubRecord => ({ hubId, url, secret: `secret of ${hubId}` });

test("every other hub is asked with its own secret, and never the one that asks", async () => {
  const shown = new Set<string | undefined>();
  await using server = await listening((request, reply) => {
    shown.add(request.headers.authorization);
    reply.end('{"ok":true}');
  });
  const { answers, silent } = await among([record("b", server.url), record("c", server.url)]).askAll(
    question,
    schema,
  );
  assert.deepEqual([answers.map(({ hub }) => hub.hubId).toSorted(), silent], [["b", "c"], []]);
  assert.deepEqual(shown, new Set(["Bearer secret of b", "Bearer secret of c"]));
});

test("a hub that answers nothing of use is silent, and costs the others nothing", async () => {
  const answers: Record<string, RequestListener> = {
    good: (_request, reply) => reply.end('{"ok":true}'),
    refusing: (_request, reply) =>
      reply
        .writeHead(401)
        .end(JSON.stringify({ error: new SallyportError("unauthenticated", "no").toWire() })),
    failing: (_request, reply) => reply.writeHead(500).end("<html>"),
    wrong: (_request, reply) => reply.end('{"ok":"yes"}'),
    garbage: (_request, reply) => reply.end("{"),
    cut: (_request, reply) =>
      reply.writeHead(200, { "content-length": 99 }).write("{", () => reply.destroy()),
    endless: (_request, reply) => {
      const more = (): void => void (reply.destroyed || reply.write("x".repeat(2 ** 20), more));
      more();
    },
    mute: () => undefined,
    redirecting: (_request, reply) => reply.writeHead(302, { location: "http://127.0.0.1:1/" }).end(),
  };
  await using stack = new AsyncDisposableStack();
  const hubs = await Promise.all(
    Object.entries(answers).map(async ([name, handler]) =>
      record(name, stack.use(await listening(handler)).url),
    ),
  );
  const asked = await among([...hubs, record("gone", "http://127.0.0.1:1")], { answerMs: 400 }).askAll(
    question,
    schema,
  );
  assert.deepEqual(
    asked.answers.map(({ hub, value }) => [hub.hubId, value]),
    [["good", { ok: true }]],
  );
  assert.equal(asked.silent.length, hubs.length);
});

test(
  "what is handed to a hub that stands still ends once that hub lives no more, not before",
  { timeout: 10_000 },
  async () => {
    const asked = deferred<void>();
    await using server = await listening(() => asked.resolve());
    const frozen = record("b", server.url);
    const looks = [[frozen], "away", [frozen], []] as const;
    let looked = 0;
    const directory = {
      live: () => {
        const seen = looks[looked++] ?? [];
        return seen === "away"
          ? Promise.reject(new Error("the database is away"))
          : Promise.resolve([...seen]);
      },
      announce: () => Promise.resolve(),
      leave: () => Promise.resolve(),
    };
    const neighbours = new Neighbours({ directory, log: silentLog() }, { hubId: own, lookMs: 5 });
    const sent = neighbours.send(frozen, { method: "POST", path: "/x" }, new AbortController().signal);
    sent.catch(() => undefined);
    await asked.promise;
    await assert.rejects(sent, (error) => isError(error, "hub_unreachable"));
    assert.equal(looked, looks.length);
  },
);

test("questions beyond so many at once are refused, and room comes back", async () => {
  const waiting: (() => void)[] = [];
  await using server = await listening(
    (_request, reply) => void waiting.push(() => reply.end('{"ok":true}')),
  );
  const neighbours = among([record("b", server.url)], { atOnce: 1 });
  const first = neighbours.askAll(question, schema);
  while (waiting.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await assert.rejects(neighbours.askAll(question, schema), (error) => isError(error, "capacity_exhausted"));
  waiting.pop()?.();
  assert.equal((await first).answers.length, 1);
  const second = neighbours.askAll(question, schema);
  while (waiting.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  waiting.pop()?.();
  assert.equal((await second).answers.length, 1);
});

test("without other hubs nobody is asked, and nobody is let in", async () => {
  const alone = new Neighbours({ directory: undefined, log: silentLog() }, { hubId: own });
  assert.deepEqual(await alone.askAll(question, schema), { answers: [], silent: [] });
  for (const shown of [undefined, "", "Bearer ", "Bearer s"]) {
    assert.throws(
      () => alone.admit(shown),
      (error) => isError(error, "unauthenticated"),
    );
  }
});

test("a hub advertises where it listens, under the host's name when that is everywhere", () => {
  const at = (host: string, url: string, advertise?: string): [string, string] => {
    const options = { host, port: 0, ...(advertise !== undefined && { advertise }) };
    return [advertisedUrl(options, url), advertisedName(options)];
  };
  assert.deepEqual(at("10.0.0.5", "http://10.0.0.5:7070"), ["http://10.0.0.5:7070", "10.0.0.5"]);
  assert.deepEqual(at("0.0.0.0", "https://0.0.0.0:7070"), [
    `https://${hostname().toLowerCase()}:7070`,
    hostname(),
  ]);
  assert.deepEqual(at("::", "http://[::]:7070"), [`http://${hostname().toLowerCase()}:7070`, hostname()]);
  assert.deepEqual(at("::", "http://[::]:7070", "https://hub-1:8443"), ["https://hub-1:8443", "hub-1"]);
  assert.deepEqual(at("::", "http://[::]:7070", "http://[fd00::5]:7070"), [
    "http://[fd00::5]:7070",
    "fd00::5",
  ]);
});

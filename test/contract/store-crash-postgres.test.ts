/** A hub, or the database under it, that dies at any write between the two. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { CommitProxy } from "../helpers/commit-proxy.ts";
import { PostgresHome, PostgresServer } from "../helpers/postgres.ts";
import { assertKept, assertSettles, startWriter } from "./store-crash.ts";

const server = await PostgresServer.start({ fsync: true });
after(() => server[Symbol.asyncDispose]());

/** What one job takes on its way, from its submission to its result, and a little more */
const points = 56;

test(`a hub that dies before or after any of ${points} writes to the database leaves what it acknowledged, and nothing in between`, async (t) => {
  await using home = new PostgresHome(server, "sallyport");
  await using proxy = await CommitProxy.start(server);
  let acknowledged: string[] = [];
  for (let at = 1; at <= points; at += 1) {
    const life = `l${at}`;
    const writer = await startWriter(proxy.url, life, 1);
    const when = at % 2 === 0 ? "before" : "after";
    proxy.crash({ at, when, die: () => process.kill(writer.pid, "SIGKILL") });
    const lines = await writer.died;
    const store = await home.open();
    for (const line of lines) await assertKept(store, line.split(" "));
    await assertSettles(store, life);
    if (lines.length > acknowledged.length) acknowledged = lines;
    await home.close();
  }
  t.diagnostic(acknowledged.join(", "));
  assert.ok(
    acknowledged.some((line) => line.startsWith("finished")),
    "some died behind the whole way",
  );
});

test("a database that is killed at any of 8 writes costs no call of a hub that lives on, and repeats none", async (t) => {
  await using home = new PostgresHome(server, "sallyport");
  await using proxy = await CommitProxy.start(server);
  const writer = await startWriter(proxy.url, "killed");
  for (let kill = 0; kill < 8; kill += 1) {
    const dead = Promise.withResolvers<void>();
    const when = kill % 2 === 0 ? "before" : "after";
    proxy.crash({
      at: 1 + 5 * kill,
      when,
      die: () => void server.stop("SIGKILL").then(dead.resolve, dead.reject),
    });
    await dead.promise;
    await server.boot();
  }
  const lines = await writer.kill({ afterLines: 100 });
  const store = await home.open();
  for (const line of lines) await assertKept(store, line.split(" "));
  await assertSettles(store, "killed");
  const said = new Set(lines.map((line) => line.split(" ").slice(0, 2).join(" ")));
  assert.equal(said.size, lines.length, "each call was answered once");
  t.diagnostic(`${lines.length} acknowledged operations`);
});

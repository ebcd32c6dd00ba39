import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { silentLog } from "../../src/log.ts";
import { createDockerDriver, watchEngine } from "../../src/sandbox/index.ts";
import { openDoor, type EngineDoor } from "../helpers/engine-way.ts";

const labels = { "dev.sallyport.worker": "worker", "dev.sallyport.created": "1" };

/** Lists all of these, with their states, has those in `there`, removes what it has, and says nothing of the one called `mute`. */
async function engineThatLists(
  listed: Record<string, string>,
  there: Set<string>,
): Promise<EngineDoor & { removals: string[] }> {
  const removals: string[] = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://engine");
    const [, , kind, id = ""] = pathname.split("/");
    const answer = (status: number, body: unknown): void => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    };
    if (kind === "events") {
      response.writeHead(200).flushHeaders();
    } else if (kind !== "containers") {
      answer(200, kind === "volumes" ? { Volumes: null } : []);
    } else if (id === "json") {
      const all = Object.entries(listed).map(([Id, State]) => ({ Id, State, Labels: labels, Created: 1 }));
      answer(200, all);
    } else if (id === "mute") {
      return;
    } else if (!there.has(id)) {
      answer(404, { message: `No such container: ${id}` });
    } else if (request.method === "DELETE") {
      removals.push(id);
      answer(200, {});
    } else {
      answer(200, { Id: id });
    }
  });
  const door = await openDoor(server);
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await door[Symbol.asyncDispose]();
  };
  return { address: door.address, removals, [Symbol.asyncDispose]: close };
}

const listed = { running: "running", phantom: "dead", stuck: "dead", over: "exited" };

test("what an engine lists as dead and does not have is no sandbox, and nothing to remove", async () => {
  await using engine = await engineThatLists(listed, new Set(["running", "stuck", "over"]));
  const options = { dockerHost: engine.address, worker: "worker", boot: "boot", guestPath: "guest" };
  await using driver = createDockerDriver({ log: silentLog() }, options);
  assert.deepEqual(
    (await driver.list()).map(({ id }) => id),
    ["running", "stuck", "over"],
  );
  assert.deepEqual(await driver.reap(0), ["running", "stuck", "over"]);
  assert.deepEqual(engine.removals, ["running", "stuck", "over"]);
});

test("a dead one that the engine says nothing of hides no other", async () => {
  await using engine = await engineThatLists({ mute: "dead", over: "exited" }, new Set(["over"]));
  const options = { dockerHost: engine.address, worker: "worker", boot: "boot", guestPath: "guest" };
  await using driver = createDockerDriver({ log: silentLog() }, options);
  assert.deepEqual(
    (await driver.list()).map(({ id }) => id),
    ["mute", "over"],
  );
});

test("nor is it left behind for those who look on", async () => {
  await using engine = await engineThatLists(listed, new Set(["stuck"]));
  await using watch = await watchEngine(["worker"], engine.address);
  assert.deepEqual((await watch.inventory()).sandboxes, ["running", "stuck", "over"]);
});

import assert from "node:assert/strict";
import { createServer, type ServerResponse } from "node:http";
import { test } from "node:test";
import { silentLog } from "../../../../src/log.ts";
import { Engine } from "../../../../src/sandbox/docker/engine.ts";
import { EngineEvents } from "../../../../src/sandbox/docker/events.ts";
import { openDoor, type EngineDoor } from "../../../helpers/engine-way.ts";
import { eventually } from "../../../helpers/hub.ts";

interface Told extends EngineDoor {
  /** subscriptions that were asked for, the last one last */
  subscriptions: ServerResponse[];
}

/** Ends no subscription by itself, has no container but `stuck`, and never says what became of that. */
async function engineThatIsStuck(): Promise<Told> {
  const subscriptions: ServerResponse[] = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://engine");
    if (pathname.endsWith("/events")) {
      response.writeHead(200).flushHeaders();
      subscriptions.push(response);
    } else if (!pathname.endsWith("/containers/stuck/json")) {
      response.writeHead(404, { "content-type": "application/json" }).end("{}");
    }
  });
  const door = await openDoor(server);
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await door[Symbol.asyncDispose]();
  };
  return { address: door.address, subscriptions, [Symbol.asyncDispose]: close };
}

test("a container that the engine cannot look at holds up nobody once events come again", async () => {
  await using told = await engineThatIsStuck();
  using engine = new Engine(told.address);
  await using events = new EngineEvents({ engine, log: silentLog() }, { worker: "w", boot: "b" });
  await events.ready();
  const stuck = events.track("stuck");
  const lost = events.track("lost");
  told.subscriptions[0]?.end();
  await eventually(() => told.subscriptions.length === 2);
  await lost.gone.promise;
  await events.ready(AbortSignal.timeout(5_000));
  const alive = events.track("alive");
  told.subscriptions[1]?.write(`${JSON.stringify({ Action: "destroy", id: "alive" })}\n`);
  await alive.gone.promise;
  assert.equal(stuck.gone.settled, false);
});

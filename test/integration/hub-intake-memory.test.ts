/** What a worker that sends byte by byte, over many streams at once, makes the hub hold. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { OutgoingStream, WorkerChannel } from "../../src/channel/index.ts";
import { encodeRecordHeader, maxRecordBytes, type WorkerStream } from "../../src/protocol/index.ts";
import { heldBy } from "../helpers/heap.ts";
import { workerOf } from "../helpers/hub-workers.ts";
import { eventually, TestHub } from "../helpers/hub.ts";
import { steered, type SimulatedJob, type SimulatedWorker } from "../helpers/simulated-worker.ts";

const streams = 64;
const rounds = 3_000;

interface Sent {
  meta: WorkerStream;
  /** what a stream begins with */
  first: Uint8Array;
}

const sends: Record<string, (job: SimulatedJob) => Sent> = {
  "a record": ({ lease }) => ({
    meta: { kind: "output", ...lease, from: 0 },
    first: encodeRecordHeader("stdout", 0, maxRecordBytes),
  }),
  "an artifact": ({ lease }) => ({
    meta: { kind: "artifact", ...lease, path: "a", size: 2 ** 20 },
    first: Buffer.from("x"),
  }),
};

/** One byte for each stream in turn, so that no two of one stream are read together. */
async function sendCrumbs(channel: WorkerChannel, { meta, first }: Sent): Promise<OutgoingStream[]> {
  const open = Array.from({ length: streams }, () => channel.open(meta));
  for (const stream of open) await stream.write(first);
  for (let round = 0; round < rounds; round += 1) {
    for (const stream of open) await stream.write(Buffer.from("x"));
    while (channel.unsent > 0) await setImmediate();
  }
  return open;
}

/** Everything that was sent before has come to the hub once it answers this. */
async function heard(worker: SimulatedWorker): Promise<void> {
  const acks = worker.of("heartbeat.ack").length;
  worker.heartbeat();
  await eventually(() => worker.of("heartbeat.ack").length > acks);
}

for (const [what, sentBy] of Object.entries(sends)) {
  test(`${what} that comes byte by byte costs the hub little more than its bytes`, async () => {
    await using hub = await TestHub.start();
    const { job, run } = steered();
    await using worker = await workerOf(hub, { run, heartbeats: false });
    await hub.submit({ artifacts: ["a"] });
    const sent = sentBy(await job);
    const { channel } = worker;
    assert.ok(channel !== undefined);
    const held = await heldBy(async () => {
      const open = await sendCrumbs(channel, sent);
      await heard(worker);
      return open;
    });
    assert.ok(held < 8, `${held} MiB`);
  });
}

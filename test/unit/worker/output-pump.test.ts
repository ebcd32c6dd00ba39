import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { test, type TestContext } from "node:test";
import { deferred } from "../../../src/async/index.ts";
import { silentLog } from "../../../src/log.ts";
import { RecordReader, readEvent } from "../../../src/protocol/index.ts";
import type { Exec, OutputChunk } from "../../../src/sandbox/index.ts";
import { OutputPump } from "../../../src/worker/output-pump.ts";
import { Spool } from "../../../src/worker/spool.ts";

interface Rig extends AsyncDisposable {
  pump: OutputPump;
  print(text: string): Promise<void>;
  end(): Promise<void>;
  /** what the spool holds: printed text and names of events, in order */
  kept(): Promise<string[]>;
  /** how often the spool grew */
  growths(): number;
}

/** A pump that has begun; timers stand still until the test moves them. */
async function begin(t: TestContext): Promise<Rig> {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const sizes = { memoryBytes: 2 ** 20, totalBytes: 2 ** 21, directory: tmpdir() };
  const spool = new Spool({ log: silentLog() }, sizes);
  let growths = 0;
  spool.onGrowth(() => (growths += 1));
  const next: { chunk: OutputChunk | null; taken: ReturnType<typeof deferred<void>> }[] = [];
  let wake = deferred<void>();
  async function* output(): AsyncGenerator<OutputChunk> {
    for (;;) {
      await wake.promise;
      wake = deferred<void>();
      for (const { chunk, taken } of next.splice(0)) {
        if (chunk === null) return taken.resolve();
        yield chunk;
        taken.resolve();
      }
    }
  }
  const give = (chunk: OutputChunk | null): Promise<void> => {
    const taken = deferred<void>();
    next.push({ chunk, taken });
    wake.resolve();
    return taken.promise;
  };
  const pump = new OutputPump({ spool }, { limit: 2 ** 20, onLimit: () => undefined });
  pump.start({ output: output() } as unknown as Exec, Date.now());
  return {
    pump,
    print: (text) => give({ stream: "stdout", bytes: Buffer.from(text) }),
    end: () => give(null),
    growths: () => growths,
    kept: async () => {
      const reader = new RecordReader({ position: 0, stdoutBytes: 0, stderrBytes: 0 });
      const parts: Uint8Array[] = [];
      for (let at = 0; at < spool.to; at += parts.at(-1)?.length ?? 0) {
        parts.push(await spool.read(at, 2 ** 20));
      }
      return reader
        .push(Buffer.concat(parts))
        .map((record) =>
          record.kind === "event" ? readEvent(record).event : Buffer.from(record.bytes).toString(),
        );
    },
    [Symbol.asyncDispose]: () => spool[Symbol.asyncDispose](),
  };
}

test("events noted shortly after one another go to the hub together", async (t) => {
  await using rig = await begin(t);
  for (const event of ["one", "two", "three"]) rig.pump.note({ event });
  assert.deepEqual(await rig.kept(), ["started"]);
  t.mock.timers.tick(60);
  assert.deepEqual(await rig.kept(), ["started", "one", "two", "three"]);
  assert.equal(rig.growths(), 2);
});

test("what is printed takes along the events noted before it, and stands behind them", async (t) => {
  await using rig = await begin(t);
  rig.pump.note({ event: "before" });
  await rig.print("text");
  rig.pump.note({ event: "after" });
  t.mock.timers.tick(60);
  assert.deepEqual(await rig.kept(), ["started", "before", "text", "after"]);
});

test("events do not wait for others when they fill a frame, nor when the command is over", async (t) => {
  await using rig = await begin(t);
  const long = "x".repeat(10_000);
  rig.pump.note({ event: "one", long });
  rig.pump.note({ event: "two", long });
  assert.deepEqual(await rig.kept(), ["started", "one", "two"]);
  rig.pump.note({ event: "last" });
  await rig.end();
  await rig.pump.done;
  await rig.pump.noted();
  assert.deepEqual((await rig.kept()).at(-1), "last");
});

import { parentPort, receiveMessageOnPort } from "node:worker_threads";
import type { Db } from "./database.ts";
import { toThrown } from "./errors.ts";
import type { Call, FromThread, Reply, ToThread } from "./rpc.ts";

/** Bounds of one batch, so that nobody's answer waits for everybody's. */
const batchCalls = 512;
const batchBytes = 16 * 2 ** 20;

export interface Service {
  open(): Db;
  run(db: Db, calls: readonly Call[], transfer: ArrayBuffer[]): Reply[];
}

/** The life of a store's thread: opens its connection, then answers everything that has come so far, batch by batch. */
export function serveThread(service: Service): void {
  const port = parentPort;
  if (port === null) throw new Error("runs as a worker thread only");
  const send = (message: FromThread, transfer: ArrayBuffer[] = []): void =>
    port.postMessage(message, transfer);
  let db: Db;
  try {
    db = service.open();
  } catch (error) {
    send({ failed: toThrown(error) });
    return;
  }
  port.on("message", (first: ToThread) => {
    for (let message: ToThread | undefined = first; message !== undefined;) {
      const { calls, buffers, last } = gather(message);
      const transfer: ArrayBuffer[] = [];
      if (calls.length > 0) send({ replies: service.run(db, calls, transfer) }, transfer);
      // Frees them at once; left to the collector they pile up while much is written.
      for (const buffer of buffers) buffer.transfer(0);
      if (last) {
        db[Symbol.dispose]();
        port.close();
        return;
      }
      message = next();
    }
  });
  send({ ready: true });
}

/** What came while the batch before was being committed joins `first`, up to the bounds. */
function gather(first: ToThread): { calls: Call[]; buffers: ArrayBuffer[]; last: boolean } {
  const calls: Call[] = [];
  const buffers: ArrayBuffer[] = [];
  let bytes = 0;
  for (let message: ToThread | undefined = first; message !== undefined;) {
    if (message === "close") return { calls, buffers, last: true };
    calls.push(...message.calls);
    buffers.push(...message.buffers);
    bytes += message.buffers.reduce((sum, buffer) => sum + buffer.byteLength, 0);
    message = calls.length < batchCalls && bytes < batchBytes ? next() : undefined;
  }
  return { calls, buffers, last: false };
}

function next(): ToThread | undefined {
  if (parentPort === null) return undefined;
  const received: { message: ToThread } | undefined = receiveMessageOnPort(parentPort);
  return received?.message;
}

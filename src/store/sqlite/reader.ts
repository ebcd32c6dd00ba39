/** Thread entry: reads on a connection of their own, so that they wait for no commit and no reader holds up the hub. */
import { workerData } from "node:worker_threads";
import { Db } from "./database.ts";
import { readEach } from "./group-commit.ts";
import { reads } from "./reads/index.ts";
import type { ReaderData } from "./rpc.ts";
import { serveThread } from "./serve-thread.ts";

const { path } = workerData as ReaderData;

serveThread({
  open: () => Db.reader(path),
  run: (db, calls, transfer) => readEach(db, reads, calls, transfer),
});

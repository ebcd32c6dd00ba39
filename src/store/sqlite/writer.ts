/** Thread entry: the one connection that changes rows. Waiting for the disk holds up this thread and nobody else. */
import { workerData } from "node:worker_threads";
import { Db } from "./database.ts";
import { commitTogether } from "./group-commit.ts";
import { migrate } from "./migrations.ts";
import { writes } from "./ops/index.ts";
import type { WriterData } from "./rpc.ts";
import { serveThread } from "./serve-thread.ts";

const { path, maxBytes } = workerData as WriterData;

serveThread({
  open: () => {
    const db = Db.writer(path, { maxBytes });
    try {
      migrate(db);
      return db;
    } catch (error) {
      db[Symbol.dispose]();
      throw error;
    }
  },
  run: (db, calls) => commitTogether(db, writes, calls),
});

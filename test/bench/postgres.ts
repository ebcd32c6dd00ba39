/** The durable rate once more, with a PostgreSQL that syncs every commit on the same processors. */
import { PostgresServer } from "../helpers/postgres.ts";
import { durableJobs } from "./durable.ts";
import type { Bench } from "./report.ts";

export const postgres: Bench = {
  name: "postgres",
  run: async () => {
    await using server = await PostgresServer.start({ fsync: true, settings: ["shared_buffers=256MB"] });
    return await durableJobs({ store: "PostgreSQL", hubArgs: ["--database", server.url], budget: 1_000 });
  },
};

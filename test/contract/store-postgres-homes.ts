/** A PostgreSQL of the test file's own that keeps what it has committed, and any number of homes in it. */
import { after } from "node:test";
import { silentLog } from "../../src/log.ts";
import { PostgresHome, PostgresServer } from "../helpers/postgres.ts";

export const deps = { log: silentLog() };
export const far = 1e12;

export interface Homes {
  server: PostgresServer;
  newHome: () => PostgresHome;
}

/** The server ends after the file's tests. */
export async function startHomes(): Promise<Homes> {
  const server = await PostgresServer.start({ fsync: true });
  after(() => server[Symbol.asyncDispose]());
  let homes = 0;
  return { server, newHome: () => new PostgresHome(server, `faults_${(homes += 1)}`) };
}

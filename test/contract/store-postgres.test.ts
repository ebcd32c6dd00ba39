import { after } from "node:test";
import { PostgresServer, postgresEngine } from "../helpers/postgres.ts";
import { storeSuite } from "./store.suite.ts";

const server = await PostgresServer.start();
after(() => server[Symbol.asyncDispose]());

storeSuite(postgresEngine(server));

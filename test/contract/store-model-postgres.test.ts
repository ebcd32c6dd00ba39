import { after } from "node:test";
import { PostgresServer, postgresEngine } from "../helpers/postgres.ts";
import { storeModelSuite } from "./store-model.suite.ts";

const server = await PostgresServer.start();
after(() => server[Symbol.asyncDispose]());

storeModelSuite(postgresEngine(server), { runs: Number(process.env["SALLYPORT_MODEL_RUNS"] ?? 5) });

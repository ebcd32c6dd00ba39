import { sqliteEngine } from "../helpers/store.ts";
import { storeModelSuite } from "./store-model.suite.ts";

storeModelSuite(sqliteEngine, { runs: Number(process.env["SALLYPORT_MODEL_RUNS"] ?? 10) });

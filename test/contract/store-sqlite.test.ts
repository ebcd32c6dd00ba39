import { sqliteEngine } from "../helpers/store.ts";
import { storeSuite } from "./store.suite.ts";

storeSuite(sqliteEngine);

export type { Load } from "./contract.ts";
export { openFilesLimit } from "./host.ts";
export { createHubTarget } from "./hub-target.ts";
export { runLoadtest, type LoadtestDeps, type LoadtestPlan, type Progress } from "./loadtest.ts";
export { renderPage } from "./page/page.ts";
export { held, type Report } from "./report.ts";
export { progressLine, reportTables, verdict } from "./text.ts";

/** npm's `prepare` script: see `finishInstall`. */
import { existsSync } from "node:fs";
import { finishInstall } from "./setup/dependencies.mjs";
import { binDir } from "./setup/paths.mjs";

// `npm install --package-lock-only` runs this with nothing installed.
if (existsSync(binDir)) finishInstall();

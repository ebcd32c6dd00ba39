/** Submits a job and reads its stdout as it comes: `node stream-reader.ts HUB_URL KEY_FILE COMMAND…`. Prints how many bytes came. */
import { setFlagsFromString } from "node:v8";
import { clientOf } from "./processes.ts";

// as the command line does for itself
setFlagsFromString("--scavenger-max-new-space-capacity-mb=2");
setFlagsFromString("--semi-space-growth-factor=1");
setFlagsFromString("--heap-growing-percent=100");

const [url, keyFile = "", ...command] = process.argv.slice(2);
const { jobs } = clientOf(url, keyFile);
const { id } = await jobs.submit({ profile: "shell", command });
let bytes = 0;
for await (const chunk of await jobs.stdout(id, { follow: true })) bytes += chunk.length;
console.log(bytes);

/** Submits a job and reads its stdout as it comes: `node stream-reader.ts HUB_URL KEY_FILE COMMAND…`. Prints how many bytes came. */
import { keepBuffersShortLived } from "../../src/heap.ts";
import { clientOf } from "./processes.ts";

keepBuffersShortLived();
const [url, keyFile = "", ...command] = process.argv.slice(2);
const { jobs } = clientOf(url, keyFile);
const { id } = await jobs.submit({ profile: "shell", command });
let bytes = 0;
for await (const chunk of await jobs.stdout(id, { follow: true })) bytes += chunk.length;
console.log(bytes);

/** Where things are in this checkout. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const modulesDir = join(root, "node_modules");
export const binDir = join(modulesDir, ".bin");
/** Node as the `node` dev dependency installs it */
export const nodeBinary = join(binDir, "node");
export const nodePackage = join(modulesDir, "node");
export const lockFile = join(root, "package-lock.json");
/** Digest of the lock file that `node_modules` was installed from */
export const stampFile = join(modulesDir, ".sallyport-installed");
export const imagesDir = join(root, "images");

/** The images that shipped profiles name, each rebuilt only when something it is made from has changed. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { nodeVersion } from "./dependencies.mjs";
import { SetupFailure } from "./failure.mjs";
import { imagesDir, nodePackage } from "./paths.mjs";
import { packageClosure } from "./package-closure.mjs";
import { productFiles } from "./product-files.mjs";
import { pack } from "./tar.mjs";

const inputsLabel = "dev.sallyport.inputs";

/** What an image holds besides the files that stand in its folder */
const extras = { node: nodeFiles, sallyport: productFiles };

/**
 * Makes sure `sallyport/<name>` is there and up to date.
 * @param {{ client: import("./engine-client.mjs").EngineClient, base: { reference: string, id: string },
 *   name: "base" | "python" | "node" | "sallyport", signal: AbortSignal }} options
 * @param {(what: string) => void} started
 */
export async function ensureImage({ client, base, name, signal }, started) {
  const tag = `sallyport/${name}:latest`;
  const own = ownFiles(join(imagesDir, name));
  const extra = extras[name]?.() ?? { key: "", files: [] };
  const contents = own.map((file) => [file.name, readFileSync(file.path, "utf8")]);
  const inputs = createHash("sha256")
    .update(JSON.stringify([contents, base.id, extra.key]))
    .digest("hex");
  const there = await client.image(tag, signal);
  if (there?.Config?.Labels?.[inputsLabel] !== inputs) {
    started(`building ${tag}`);
    const context = pack([...own, ...extra.files]);
    const args = { BASE_IMAGE: base.reference };
    await client.build({ tag, context, args, labels: { [inputsLabel]: inputs } }, signal);
  }
  const { Size: size } = await client.image(tag, signal);
  return `${tag}, ${Math.round(size / 1e6)} MB`;
}

/** The files that stand in the image's folder; what a build by hand puts there besides is not among them. */
function ownFiles(folder) {
  return readdirSync(folder)
    .filter((name) => name !== "node" && name !== "node_modules")
    .sort()
    .map((name) => ({ name, path: join(folder, name) }));
}

/** The Node that runs this checkout also runs in the sandbox: npm has checked it, and no other download is needed. */
function nodeFiles() {
  if (process.platform !== "linux") {
    throw new SetupFailure("sallyport/node can be built on Linux only", {
      fix: "build images/node on a Linux host and load it into the engine",
    });
  }
  const mcp = packageClosure("@modelcontextprotocol/sdk");
  const files = [{ name: "node", path: join(nodePackage, "bin", "node"), mode: 0o755 }, ...mcp.files];
  return { key: `${nodeVersion()} ${process.arch} ${mcp.key}`, files };
}

/** The one thing compose.yaml has to know of this host: which group may use the engine's socket. */
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./paths.mjs";

const variable = /^DOCKER_GID=(.*)$/m;

/**
 * Adds `DOCKER_GID` to `.env`; what stands there is left alone.
 * @param {string} dockerHost
 * @param {string} [file]
 * @returns {string} what is there now
 */
export function ensureComposeEnv(dockerHost, file = join(root, ".env")) {
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  const [, known] = variable.exec(text) ?? [];
  if (known !== undefined) return `DOCKER_GID=${known} in .env`;
  const { protocol, pathname } = new URL(dockerHost);
  if (protocol !== "unix:") return "the engine has no socket here: set DOCKER_GID in .env by hand";
  const gid = statSync(decodeURIComponent(pathname)).gid;
  const before = text === "" || text.endsWith("\n") ? text : `${text}\n`;
  writeFileSync(file, `${before}DOCKER_GID=${gid}\n`);
  return `DOCKER_GID=${gid} in .env`;
}

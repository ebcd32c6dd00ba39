/** Debian's Chromium for tests of pages: the reason why there is none, or where it is. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";

const places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** On CI, as root on Debian, it is installed where it is missing, so that no page goes unseen there. */
export function findChromium(): { path: string; skip: false } | { path: ""; skip: string } {
  if (process.env["CI"] === "true" && !places.some(existsSync)) install();
  const path = process.env["CHROMIUM"] ?? places.find(existsSync);
  if (path !== undefined) return { path, skip: false };
  const skip = "no Chromium: apt-get install chromium, or name one with CHROMIUM";
  console.log(`# skipped: ${skip}`);
  return { path: "", skip };
}

function install(): void {
  if (process.getuid?.() !== 0 || !existsSync("/etc/debian_version")) return;
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  execFileSync("apt-get", ["update", "-q"], { env, stdio: "ignore" });
  execFileSync("apt-get", ["install", "-q", "-y", "--no-install-recommends", "chromium"], {
    env,
    stdio: "ignore",
  });
}

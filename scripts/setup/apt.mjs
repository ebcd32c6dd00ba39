/** Debian's package manager, the only one that set-up uses by itself. */
import { findProgram } from "./find-program.mjs";
import { runProgram } from "./run-program.mjs";

/** Whether this host is Debian or Ubuntu and we may install packages. */
export function canInstall(host = { uid: process.getuid?.(), apt: findProgram("apt-get") }) {
  return host.uid === 0 && host.apt !== undefined;
}

/** Refreshes the package lists and installs `packages`; waits for another apt that is at work. */
export async function install(packages, signal) {
  const env = { DEBIAN_FRONTEND: "noninteractive", NEEDRESTART_SUSPEND: "1" };
  const apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3"];
  await runProgram([...apt, "update"], { signal, env });
  await runProgram([...apt, "install", "-y", "--no-install-recommends", ...packages], { signal, env });
}

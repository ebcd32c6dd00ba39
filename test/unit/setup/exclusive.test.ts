import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { exclusively } from "../../../scripts/setup/exclusive.mjs";

const skip = process.platform === "linux" ? false : "abstract sockets exist on Linux only";
const moduleFile = fileURLToPath(new URL("../../../scripts/setup/exclusive.mjs", import.meta.url));
const signal = new AbortController().signal;
const freshName = (): string => `sallyport-test-${process.pid}-${Math.random().toString(36).slice(2)}`;

test(
  "those who ask at once get it one after another, and the waiting are told who has it",
  { skip },
  async () => {
    const name = freshName();
    const owners: unknown[] = [];
    let inside = 0;
    let most = 0;
    const one = (): Promise<void> =>
      exclusively({ signal, name, onWait: (pid: string) => owners.push(pid) }, async () => {
        most = Math.max(most, ++inside);
        await new Promise((resolve) => setTimeout(resolve, 10));
        inside--;
      });
    await Promise.all([one(), one(), one(), one()]);
    assert.equal(most, 1);
    assert.ok(owners.length >= 1 && owners.every((pid) => pid === String(process.pid)), owners.join());
  },
);

test("work that fails lets go", { skip }, async () => {
  const options = { signal, name: freshName(), onWait: () => {} };
  await assert.rejects(
    exclusively(options, () => Promise.reject(new Error("no"))),
    /no/,
  );
  assert.equal(await exclusively(options, () => Promise.resolve("yes")), "yes");
});

test("an owner that is killed lets go", { skip }, async () => {
  const name = freshName();
  const program = `import { exclusively } from ${JSON.stringify(moduleFile)};
    await exclusively({ signal: new AbortController().signal, name: ${JSON.stringify(name)}, onWait() {} }, async () => {
      console.log("mine"); await new Promise((resolve) => setTimeout(resolve, 60_000)); });`;
  const owner = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(owner.stdout, "data");
  const waited: Promise<string> = exclusively({ signal, name, onWait: () => owner.kill("SIGKILL") }, () =>
    Promise.resolve("got it"),
  );
  assert.equal(await waited, "got it");
});

test("waiting ends when it is aborted", { skip }, async () => {
  const name = freshName();
  const stop = new AbortController();
  await exclusively({ signal, name, onWait: () => {} }, () =>
    assert.rejects(
      exclusively({ signal: stop.signal, name, onWait: () => stop.abort(new Error("stopped")) }, () =>
        Promise.reject(new Error("ran")),
      ),
      /stopped/,
    ),
  );
});

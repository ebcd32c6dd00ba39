"use strict";
/*
 * An interpreter started ahead of its job: loads what the profile names, then waits for the job.
 *
 * Started as `node main.js` with "--require=THIS" first in NODE_OPTIONS and SALLYPORT_WARM="NONCE MODULE…". Node requires
 * it before it looks for its program, so whatever comes after is Node's own way of running `main.js`, as a module or as CommonJS.
 *
 * Says `NONCE ready CPU_MICROSECONDS NAME…` on stdout (NAME: what a file of the job would hide if it were loaded before)
 * and `NONCE` on stderr, or `NONCE failed MODULE REASON` on stdout; everything before is noise of the imports. Then reads
 * one block from stdin, not a byte more: length u32 big endian, then NUL-separated program path, program text and
 * NAME=VALUE of the job's environment. With an empty path the program is already there.
 */
const order = process.env.SALLYPORT_WARM;
delete require.cache[__filename];
// A thread of the job inherits --require, but not this variable.
if (order !== undefined) waitForJob(order);

function waitForJob(order) {
  const { readSync, writeFileSync, writeSync } = require("node:fs");
  const { createRequire, isBuiltin } = require("node:module");
  const [nonce, ...modules] = order.split(" ");

  // A line of its own, also behind noise that ended within a line.
  const say = (descriptor, text) => writeSync(descriptor, `\n${text}\n`);

  const preload = () => {
    const requireAsJob = createRequire(`${process.cwd()}/main.js`);
    for (const name of modules) {
      try {
        requireAsJob(name);
      } catch (error) {
        const reason = String(error?.message ?? error).split("\n")[0];
        say(1, `${nonce} failed ${name} ${String(error?.name ?? "Error")}: ${reason.slice(0, 500)}`);
        process.reallyExit(1);
      }
    }
  };

  const readExactly = (size) => {
    const block = Buffer.alloc(size);
    for (let at = 0; at < size;) {
      const got = readSync(0, block, at, size - at);
      if (got === 0) process.reallyExit(0);
      at += got;
    }
    return block;
  };

  const receive = () => {
    const block = readExactly(readExactly(4).readUInt32BE(0)).toString("utf8");
    const [path, program, ...variables] = block.split("\0");
    if (path !== "") writeFileSync(path, program, { flag: "wx", mode: 0o644 });
    for (const variable of variables) {
      const at = variable.indexOf("=");
      process.env[variable.slice(0, at)] = variable.slice(at + 1);
    }
  };

  const [, ...options] = process.env.NODE_OPTIONS.split(" ");
  if (options.length > 0) process.env.NODE_OPTIONS = options.join(" ");
  else delete process.env.NODE_OPTIONS;
  delete process.env.SALLYPORT_WARM;
  preload();
  // What the first line on a pipe loads otherwise; nothing is opened by it.
  require("node:net");
  require("node:tty");
  const { user, system } = process.cpuUsage();
  const hidden = modules.every((name) => isBuiltin(name)) ? [] : ["node_modules"];
  say(2, nonce);
  say(1, [nonce, "ready", user + system, ...hidden].join(" "));
  receive();
}

/** `npm test [-- FILE… | --node-option…]`: set-up, then the tests under Node 24, one suite after another. */
import { availableParallelism } from "node:os";
import { command, runNode } from "./setup/command.mjs";
import { setUp } from "./setup/index.mjs";
import { removeSandboxes } from "./test/sandboxes.mjs";
import { Scratch } from "./test/scratch.mjs";
import { findSuites, needsEngine } from "./test/suites.mjs";
import { Tally } from "./test/tally.mjs";

const help = `npm test [-- [--suite NAME]… [FILE | FOLDER]… [--node-option…]]

Runs every *.test.ts under test/ (or those named), suite by suite: unit, contract, integration, docker, escape, compose, others.
--suite NAME   only this folder of test/
--test-…       handed to Node's test runner, such as --test-name-pattern=lease (write it with =)`;

await command(async (signal) => {
  const request = parse(process.argv.slice(2));
  if (request.help) {
    console.log(help);
    return 0;
  }
  const suites = findSuites(request);
  const product = suites.some(({ name }) => name === "compose");
  const env = await setUp({ signal, product, ...(suites.some(needsEngine) ? {} : { only: "dependencies" }) });
  const scratch = new Scratch();
  const tally = new Tally(scratch);
  try {
    for (const suite of suites) {
      if (signal.aborted) break;
      console.log(`\n== ${suite.name}: ${suite.files.length} files ==`);
      const runs = runsOf(suite).map(async ({ options, files }) => {
        const run = tally.begin();
        const code = await runNode([...run.options, ...options, ...request.options, ...files], {
          signal,
          env: { REQUIRE_DOCKER: process.env.REQUIRE_DOCKER ?? "1", ...scratch.env, ...env },
        });
        return { run, code };
      });
      tally.add(suite.name, await Promise.all(runs));
    }
    console.log(`\n${tally.report()}`);
    return signal.aborted || tally.failed ? 1 : 0;
  } finally {
    scratch.stop();
    if (env.DOCKER_HOST) await removeSandboxes(env.DOCKER_HOST, scratch.workers());
    scratch.dispose();
  }
});

/**
 * How a suite is run: what needs no engine in two processes for each processor, one of which works while the other waits. Starting one
 * for each file takes longer than its tests.
 */
function runsOf(suite) {
  if (needsEngine(suite)) return [{ options: [], files: suite.files }];
  const count = Math.min(2 * availableParallelism(), suite.files.length);
  return Array.from({ length: count }, (_, part) => ({
    options: ["--test-isolation=none"],
    files: suite.files.filter((_file, at) => at % count === part),
  }));
}

/** @param {string[]} args */
function parse(args) {
  const request = {
    help: false,
    suites: [],
    paths: [],
    options: ["--test-concurrency=2", "--test-timeout=300000"],
  };
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? "";
    if (arg === "--help" || arg === "-h") request.help = true;
    else if (arg === "--suite") request.suites.push(args[++i] ?? "");
    else if (arg.startsWith("--suite=")) request.suites.push(arg.slice("--suite=".length));
    else if (arg.startsWith("-")) request.options.push(arg);
    else request.paths.push(arg);
  }
  return request;
}

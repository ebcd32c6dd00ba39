/** Any sequence of calls, alone or many at once, with the store dying in between, leaves what the model says. */
import { test } from "node:test";
import * as fc from "fast-check";
import type { StoreEngine } from "../helpers/store.ts";
import { Crash, OpenSession, Together } from "./store-model-commands.ts";
import { index, pruneStep, step } from "./store-model-steps.ts";
import { Model } from "./store-model.ts";

const together = fc.array(step, { minLength: 1, maxLength: 8 }).map((steps) => new Together(steps));

/** Mostly of the same life of its worker. */
const opening = fc
  .tuple(index, fc.nat({ max: 3 }), index)
  .map(([worker, boot, forgets]) => new OpenSession(worker, boot === 3 ? 1 : 0, forgets));

/** One of them is taken at each turn, all as likely. */
const allCommands = [
  ...Array.from({ length: 12 }, () => together),
  pruneStep.map((prune) => new Together([prune])),
  opening,
  opening,
  fc.constant(new Crash()),
];

export function storeModelSuite(engine: StoreEngine, { runs }: { runs: number }): void {
  void test(`store (${engine.name}): any calls in any order agree with the model`, async (t) => {
    const seed = Number(process.env["SALLYPORT_TEST_SEED"] ?? Date.now() % 2 ** 31);
    t.diagnostic(`seed ${seed}, ${runs} runs`);
    const property = fc.asyncProperty(
      fc.commands(allCommands, { maxCommands: 150, size: "max" }),
      async (commands) => {
        await using home = await engine.home();
        const real = { home, store: await home.open() };
        const model = new Model();
        await new OpenSession(0, 0, 0).run(model, real);
        await fc.asyncModelRun(() => ({ model, real }), commands);
      },
    );
    await fc.assert(property, { numRuns: runs, seed, endOnFailure: process.env["CI"] !== undefined });
  });
}

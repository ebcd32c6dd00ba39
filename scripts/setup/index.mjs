/**
 * Set-up: everything this checkout needs to run jobs on this host. Runs on Node 20 with nothing installed, does only what
 * is missing, and runs what does not depend on each other at the same time.
 */
import { ensureBase } from "./base-image.mjs";
import { ensureComposeEnv } from "./compose-env.mjs";
import { ensureDependencies } from "./dependencies.mjs";
import { ensureEngine } from "./engine.mjs";
import { exclusively } from "./exclusive.mjs";
import { ensureImage } from "./images.mjs";
import { ensurePrograms } from "./programs.mjs";
import { createProgress } from "./progress.mjs";

/**
 * @param {{ signal: AbortSignal, only?: "dependencies", product?: boolean }} options `product`: also the image of Sallyport itself
 * @returns {Promise<Record<string, string>>} environment that the product needs to find what set-up found
 */
export async function setUp({ signal, only, product = false }) {
  const progress = createProgress();
  const onWait = (pid) => progress.note("set-up", `waiting for the one that runs already (process ${pid})`);
  return exclusively({ signal, onWait }, async () => {
    if (only === "dependencies") {
      await progress.step("dependencies", (started) => ensureDependencies({ signal }, started));
      return {};
    }
    return everything(progress, { outer: signal, product });
  });
}

async function everything(progress, { outer, product }) {
  // The first step that fails stops the others, so that its reason is the last thing on the screen.
  const failed = new AbortController();
  const signal = AbortSignal.any([outer, failed.signal]);
  const step = (name, work) => {
    const running = progress.step(name, work, signal);
    running.catch((error) => failed.abort(error));
    return running;
  };
  const after = (needed, name, work) => {
    const running = needed.then((ready) => step(name, (started) => work(ready, started)));
    running.catch(() => {});
    return running;
  };

  const dependencies = step("dependencies", (started) => ensureDependencies({ signal }, started));
  const engine = step("engine", (started) => ensureEngine({ signal }, started));
  const base = after(engine, "debian", ({ client }, started) => ensureBase({ client, signal }, started));
  const both = Promise.all([engine, base]).then(([{ client }, image]) => ({ client, base: image }));
  both.catch(() => {});
  const programs = step("programs", (started) => {
    const withBase = async () => ({ client: (await both).client, reference: (await both).base.reference });
    return ensurePrograms({ base: withBase, signal }, started);
  });
  const image = (needed, name) =>
    after(needed, `image ${name}`, (ready, started) => ensureImage({ ...ready, name, signal }, started));
  const images = [
    image(both, "base"),
    image(both, "python"),
    image(
      dependencies.then(() => both),
      "node",
    ),
  ];
  if (product) {
    const ready = Promise.all([dependencies, programs]).then(() => both);
    ready.catch(() => {});
    images.push(image(ready, "sallyport"));
    images.push(after(engine, "compose", ({ client }) => ensureComposeEnv(client.dockerHost)));
  }

  await Promise.allSettled([dependencies, engine, base, programs, ...images]);
  outer.throwIfAborted();
  failed.signal.throwIfAborted();
  const { client } = await engine;
  return { DOCKER_HOST: client.dockerHost };
}

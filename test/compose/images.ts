/** PostgreSQL and HAProxy for compose.yaml: the official images, or where no registry answers one of our own from Debian's packages. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ensureBase } from "../../scripts/setup/base-image.mjs";
import { EngineClient } from "../../scripts/setup/engine-client.mjs";
import { pack } from "../../scripts/setup/tar.mjs";

const official = ["haproxy:3.0-bookworm", "postgres:17-bookworm"];
const inputsLabel = "dev.sallyport.inputs";
/** how long a registry may take to answer, and an image to come or be built, `ms` */
const answerMs = 5_000;
const imageMs = 300_000;

/** What compose.yaml is to use instead of its defaults. */
export async function imagesFor(dockerHost: string): Promise<Record<string, string>> {
  const client = new EngineClient(dockerHost);
  const signal = AbortSignal.timeout(imageMs);
  const there = await Promise.all(official.map((image) => client.image(image, signal)));
  if (there.every((image) => image !== undefined)) return {};
  if (await registryAnswers()) {
    for (const image of official) {
      const [name, tag] = image.split(":");
      await client.pull(name, tag, signal);
    }
    return {};
  }
  const own = await buildOwn(client, signal);
  return { POSTGRES_IMAGE: own, HAPROXY_IMAGE: own };
}

async function registryAnswers(): Promise<boolean> {
  try {
    const reply = await fetch("https://registry-1.docker.io/v2/", { signal: AbortSignal.timeout(answerMs) });
    await reply.body?.cancel();
    // it asks who we are
    return reply.status === 401;
  } catch {
    return false;
  }
}

async function buildOwn(client: InstanceType<typeof EngineClient>, signal: AbortSignal): Promise<string> {
  const tag = "sallyport/compose-test:latest";
  const files = ["Dockerfile", "entrypoint.sh"].map((name) => ({
    name,
    path: join(import.meta.dirname, name),
  }));
  const base = await ensureBase({ client, signal }, () => undefined);
  const hash = createHash("sha256").update(base.id);
  for (const { path } of files) hash.update(readFileSync(path));
  const inputs = hash.digest("hex");
  const there = await client.image(tag, signal);
  if (there?.Config?.Labels?.[inputsLabel] === inputs) return tag;
  const args = { BASE_IMAGE: base.reference };
  await client.build({ tag, context: pack(files), args, labels: { [inputsLabel]: inputs } }, signal);
  return tag;
}

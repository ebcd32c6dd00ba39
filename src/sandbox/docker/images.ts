/**
 * Any image with the guest added as one layer. The result is named after the image's id and the guest's hash, so it is
 * found again while neither changes and made anew when either does.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { pack } from "tar-stream";
import { abortable } from "../../async/index.ts";
import { SallyportError } from "../../errors.ts";
import type { Engine } from "./engine.ts";
import { engineCall, engineError, statusOf } from "./errors.ts";

/** What is wanted: an image, and who asks for it. */
export interface ImageRequest {
  /** Reference, or `scratch` for nothing but the added files */
  image: string;
  /** Name of the profile that asks, for messages */
  profile: string;
  /** Programs to add under `/sallyport/`, besides the guest: name → path on this host */
  extra?: Readonly<Record<string, string>>;
}

interface Program {
  name: string;
  bytes: Buffer;
}

/** A prepared image that is to be there. */
interface Plan {
  tag: string;
  base: string;
  request: ImageRequest;
  programs: readonly Program[];
}

const repository = "sallyport-prepared";
const labels = {
  /** Id of the image that was built on */
  base: "dev.sallyport.base",
  /** The image's name, as profiles say it */
  image: "dev.sallyport.image",
  /** Names of the added programs */
  programs: "dev.sallyport.programs",
} as const;

export class Images {
  readonly #engine: Engine;
  readonly #guestPath: string;
  /** wall clock `ms` */
  readonly #since = Date.now();
  /** Ids of the images this object has built */
  readonly #made = new Set<string>();
  readonly #prepared = new Map<string, string>();
  readonly #building = new Map<string, Promise<string>>();
  /** Tags this object has built: only the first build of one replaces what others made before */
  readonly #built = new Set<string>();

  constructor(deps: { engine: Engine }, options: { guestPath: string }) {
    this.#engine = deps.engine;
    this.#guestPath = options.guestPath;
  }

  /** Id of the prepared image, as far as this object made or found it before. */
  known(request: ImageRequest): string | undefined {
    return this.#prepared.get(keyOf(request));
  }

  forget(request: ImageRequest): void {
    this.#prepared.delete(keyOf(request));
  }

  /** Id of the prepared image, built if need be; calls for the same result share one build. */
  async prepare(request: ImageRequest, signal?: AbortSignal): Promise<string> {
    const base = await this.#baseId(request);
    const programs = await this.#programs(request);
    const tag = `${repository}:${digest([base, ...programs.map(({ bytes }) => digest([bytes]))]).slice(0, 32)}`;
    let making = this.#building.get(tag);
    if (making === undefined) {
      const plan = { tag, base, request, programs };
      making = this.#findOrBuild(plan).finally(() => this.#building.delete(tag));
      this.#building.set(tag, making);
    }
    const id = await abortable(making, signal);
    this.#prepared.set(keyOf(request), id);
    return id;
  }

  async #baseId(request: ImageRequest): Promise<string> {
    if (request.image === "scratch") return "scratch";
    const subject = `${request.image} of profile ${request.profile}`;
    const found = await engineCall(
      { operation: "image", subject },
      this.#engine.docker.getImage(request.image).inspect(),
    );
    if (Object.keys(found.Config.Volumes ?? {}).length === 0) return found.Id;
    throw new SallyportError(
      "image_unavailable",
      `image ${subject}: it declares volumes, which would be unlimited disk`,
      {
        details: { image: request.image, profile: request.profile, fix: "name an image without VOLUME" },
      },
    );
  }

  async #programs(request: ImageRequest): Promise<Program[]> {
    const wanted = { guest: this.#guestPath, ...request.extra };
    return await Promise.all(
      Object.entries(wanted).map(async ([name, path]) => ({ name, bytes: await readProgram(name, path) })),
    );
  }

  async #findOrBuild(plan: Plan): Promise<string> {
    const { tag } = plan;
    const image = this.#engine.docker.getImage(tag);
    const found = await image.inspect().catch((error: unknown) => {
      if (statusOf(error) === 404) return undefined;
      throw engineError({ operation: "image", subject: tag }, error);
    });
    if (found !== undefined) return found.Id;
    await this.#build(plan);
    const { Id } = await engineCall({ operation: "image", subject: tag }, image.inspect());
    this.#made.add(Id);
    // whoever needs the older one builds it again, and must not remove this one in turn
    if (!this.#built.has(tag)) await this.#removeOlder(plan, Id);
    this.#built.add(tag);
    return Id;
  }

  async #build({ tag, base, request, programs }: Plan): Promise<void> {
    const context = pack();
    const recipe = [`FROM ${base}`, ...programs.map(({ name }) => `COPY ${name} /sallyport/${name}`)];
    context.entry({ name: "Dockerfile" }, recipe.join("\n"));
    for (const { name, bytes } of programs) context.entry({ name, mode: 0o755 }, bytes);
    context.finalize();
    // an image's build triggers get no network
    const options = {
      t: tag,
      networkmode: "none",
      forcerm: true,
      labels: { [labels.base]: base, [labels.image]: request.image, [labels.programs]: namesOf(programs) },
    };
    const call = { operation: "build", subject: tag } as const;
    const upload = Readable.from(context);
    const output = await engineCall(call, this.#engine.docker.buildImage(upload, options));
    await followBuild(tag, output as Readable);
  }

  /** Prepared images of the same source that nothing uses. What cannot go, or is in use, stays for the next time. */
  async #removeOlder({ request, programs }: Plan, newest: string): Promise<void> {
    const label = [`${labels.image}=${request.image}`, `${labels.programs}=${namesOf(programs)}`];
    const found = await this.#engine.docker.listImages({ filters: { label } }).catch(() => []);
    this.#prepared.set(keyOf(request), newest);
    const needed = new Set(this.#prepared.values());
    const old = found.filter(({ Id }) => !needed.has(Id));
    await Promise.all(
      old.map(({ Id, Labels }) => this.#removeIfOlder(Id, Labels[labels.base]).catch(() => undefined)),
    );
  }

  /** One of others that is younger than this object may be what a worker that starts beside this one has just made for itself. */
  async #removeIfOlder(image: string, base: string | undefined): Promise<void> {
    const { Created } = await this.#engine.docker.getImage(image).inspect();
    if (this.#made.has(image) || Date.parse(Created) < this.#since) await this.#remove(image, base);
  }

  /** The engine keeps one image per line of the recipe: those between `image` and its base are ours too. */
  async #remove(image: string, base: string | undefined): Promise<void> {
    for (let id = image; id !== "" && id !== base;) {
      const { Parent } = await this.#engine.docker.getImage(id).inspect();
      await this.#engine.docker.getImage(id).remove({ noprune: true });
      id = Parent;
    }
  }
}

function keyOf({ image, extra = {} }: ImageRequest): string {
  return [image, ...Object.keys(extra)].join(" ");
}

function namesOf(programs: readonly Program[]): string {
  return programs.map(({ name }) => name).join(",");
}

async function readProgram(name: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new SallyportError("image_unavailable", `the ${name} program cannot be read at ${path}`, {
      details: { path, fix: "build the programs with make -C images/guest and make -C images/probe" },
      cause: error,
    });
  }
}

/** The build's reply is 200 whatever happens; a line with `error` says that it failed. */
async function followBuild(tag: string, output: Readable): Promise<void> {
  for await (const line of createInterface({ input: output, crlfDelay: Infinity })) {
    const { error } = line === "" ? {} : (JSON.parse(line) as { error?: string });
    if (error === undefined) continue;
    throw new SallyportError("image_unavailable", `build ${tag}: the guest could not be added (${error})`, {
      details: { image: tag, fix: "look at the engine's log and disk space" },
    });
  }
}

function digest(parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\n");
  return hash.digest("hex");
}

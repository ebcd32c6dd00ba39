/**
 * The few calls that set-up and the runner of the tests make to a Docker-compatible engine, over its HTTP API, so that no docker
 * command is needed.
 * https://docs.docker.com/reference/api/engine/
 */
import { readFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { SetupFailure } from "./failure.mjs";
import { tail } from "./run-program.mjs";

/** `DOCKER_HOST` → options for `node:http`; throws for a form that set-up cannot speak. */
export function addressOf(dockerHost, env = process.env) {
  const url = URL.canParse(dockerHost) ? new URL(dockerHost) : undefined;
  if (url?.protocol === "unix:") return { socketPath: decodeURIComponent(url.pathname) };
  if (url?.protocol === "tcp:" || url?.protocol === "http:" || url?.protocol === "https:") {
    const at = { host: url.hostname, port: Number(url.port) || 2375 };
    const secure = url.protocol === "https:" || (env.DOCKER_TLS_VERIFY ?? "") !== "";
    return secure ? { ...at, tls: true, ...certificates(env.DOCKER_CERT_PATH) } : at;
  }
  throw new SetupFailure(`DOCKER_HOST=${dockerHost} is not an address that can be used`, {
    fix: "write unix:///path/to/docker.sock or tcp://host:port",
  });
}

function certificates(folder) {
  if (!folder) return {};
  const read = (name) => readFileSync(join(folder, name));
  return { ca: read("ca.pem"), cert: read("cert.pem"), key: read("key.pem") };
}

export class EngineClient {
  #address;

  /** @param {string} dockerHost `unix:///…` or `tcp://host:port` */
  constructor(dockerHost) {
    this.dockerHost = dockerHost;
    this.#address = addressOf(dockerHost);
  }

  /** `{ Version, ApiVersion, … }`, or undefined where no engine answers in time. */
  async version(timeoutMs = 3_000) {
    try {
      const reply = await this.#send("GET", "/version", { signal: AbortSignal.timeout(timeoutMs) });
      return reply.status === 200 ? await reply.json() : undefined;
    } catch {
      return undefined;
    }
  }

  /** What the engine knows of an image, or undefined. */
  async image(reference, signal) {
    const reply = await this.#send("GET", `/images/${reference}/json`, { signal });
    if (reply.status === 404) return void (await reply.text());
    return (await reply.orThrow()).json();
  }

  /** Pulls `name:tag`; throws where no registry answers. */
  async pull(name, tag, signal) {
    const query = new URLSearchParams({ fromImage: name, tag });
    await follow(await this.#send("POST", `/images/create?${query}`, { signal }));
  }

  /** Makes an image from the tar of a root file system. */
  async importImage({ repo, tag, tar, change }, signal) {
    const query = new URLSearchParams({ fromSrc: "-", repo, tag, changes: change });
    await follow(await this.#send("POST", `/images/create?${query}`, { signal, body: tar }));
  }

  /** Builds from `context` (a tar), with the host's network. */
  async build({ tag, context, args, labels, dockerfile = "Dockerfile" }, signal) {
    const query = new URLSearchParams({
      t: tag,
      dockerfile,
      buildargs: JSON.stringify(args),
      labels: JSON.stringify(labels),
      networkmode: "host",
      rm: "1",
      forcerm: "1",
    });
    await follow(
      await this.#send("POST", `/build?${query}`, { signal, body: context, type: "application/x-tar" }),
    );
  }

  /** Those that carry a label of this name, in any state. */
  async containers(label) {
    const query = new URLSearchParams({ all: "1", filters: JSON.stringify({ label: [label] }) });
    return await (await (await this.#send("GET", `/containers/json?${query}`, {})).orThrow()).json();
  }

  /** Whatever its state; one that is gone already is none. */
  async removeContainer(id) {
    await (await this.#send("DELETE", `/containers/${id}?force=1`, {})).text();
  }

  /** The tar of one path of an image. Nothing of the image is run. */
  async readFromImage(image, path, signal) {
    const body = Readable.from([JSON.stringify({ Image: image, Cmd: ["-"], NetworkDisabled: true })]);
    const made = await this.#send("POST", "/containers/create", { signal, body, type: "application/json" });
    const { Id: id } = await (await made.orThrow()).json();
    try {
      const query = new URLSearchParams({ path });
      return await (
        await (await this.#send("GET", `/containers/${id}/archive?${query}`, { signal })).orThrow()
      ).bytes();
    } finally {
      await this.removeContainer(id);
    }
  }

  async #send(method, path, { signal, body, type }) {
    const { tls, ...address } = this.#address;
    const headers = body === undefined ? {} : { "content-type": type ?? "application/x-tar" };
    const request = (tls ? httpsRequest : httpRequest)({ ...address, method, path, headers, signal });
    const replied = new Promise((resolve, reject) => {
      request.on("response", resolve);
      request.on("error", reject);
    });
    // A body that fails takes the request with it, and an engine may answer without reading all of it.
    if (body === undefined) request.end();
    else pipeline(body, request).catch(() => {});
    return new Reply(await replied, `${method} ${path.split("?")[0]}`);
  }
}

class Reply {
  #response;
  #what;

  constructor(response, what) {
    this.#response = response;
    this.#what = what;
  }

  get status() {
    return this.#response.statusCode ?? 0;
  }

  get chunks() {
    return this.#response;
  }

  async bytes() {
    const chunks = [];
    for await (const chunk of this.#response) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  async text() {
    return (await this.bytes()).toString();
  }

  async json() {
    return JSON.parse(await this.text());
  }

  async orThrow() {
    if (this.status < 400) return this;
    const said = messageOf(await this.text());
    throw new SetupFailure(`the engine answered ${this.status} to ${this.#what}: ${said}`);
  }
}

function messageOf(body) {
  try {
    return JSON.parse(body).message;
  } catch {
    return tail(body);
  }
}

/** Reads a progress reply to its end: JSON lines, with a failure told as one of them. */
async function follow(reply) {
  await reply.orThrow();
  let printed = "";
  let rest = "";
  let problem;
  for await (const chunk of reply.chunks.setEncoding("utf8")) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const event of lines.filter((line) => line.trim() !== "").map((line) => JSON.parse(line))) {
      printed += event.stream ?? "";
      problem ??= event.error;
    }
  }
  if (problem !== undefined) throw new SetupFailure(problem, { output: tail(printed) });
}

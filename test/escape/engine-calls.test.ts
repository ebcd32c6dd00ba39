/** What the engine is asked for, recorded on the way: nothing of a job is in it, and a used sandbox is only ever ended. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { requireEngine } from "../helpers/docker.ts";
import { EscapeRoom, run, type Body } from "../helpers/escape.ts";
import { RecordingEngine, type EngineCall } from "../helpers/recording-engine.ts";

const skip = await requireEngine();
const id = "[0-9a-f]{64}";

/** Everything the driver may ever ask, and nothing else. */
const allowed = [
  /^GET \/(info|version)$/,
  /^GET \/events$/,
  /^GET \/images\/.+\/json$/,
  /^POST \/build$/,
  /^GET \/containers\/json$/,
  /^POST \/containers\/create$/,
  new RegExp(`^POST /containers/${id}/(attach|start)$`),
  new RegExp(`^GET /containers/${id}/(json|stats)$`),
  new RegExp(`^DELETE /containers/(${id}|sallyport-[0-9a-f-]{36})$`),
];
const asText = ({ method, path }: EngineCall): string => `${method} ${path}`;

/** The create call with what may differ between two sandboxes of one profile taken out. */
function fixedPart(call: EngineCall): string {
  const body = JSON.parse(call.body) as Body;
  const labels = Object.fromEntries(Object.keys(body.Labels ?? {}).map((name) => [name, ""]));
  return JSON.stringify({ ...body, Labels: labels });
}

describe("engine calls", { skip }, () => {
  let room: EscapeRoom;
  let engine: RecordingEngine;
  const secret = randomUUID();
  before(async () => {
    engine = await RecordingEngine.start();
    room = await EscapeRoom.open("engine-calls", { dockerHost: engine.address });
    for (let job = 0; job < 4; job++) {
      await using sandbox = await room.create("shell");
      // a job with everything a job can have, and a large file each way
      const env = { SECRET: secret, LD_PRELOAD: "/x", DOCKER_HOST: "tcp://x", HTTP_PROXY: "http://x" };
      await sandbox.guest.files.put("in", Buffer.alloc(8_000_000, job));
      await run(sandbox, ["sh", "-c", `cat in > out; echo ${secret}`], job % 2 === 0 ? { env } : {});
      const back = await Array.fromAsync(sandbox.guest.files.get("out", 8_000_000));
      assert.equal(
        back.reduce((sum, chunk) => sum + chunk.length, 0),
        8_000_000,
      );
      await sandbox.stats();
    }
    await room.driver.list();
    await room.driver.reap(0);
  });
  after(async () => {
    await room[Symbol.asyncDispose]();
    await engine[Symbol.asyncDispose]();
  });
  /** The create calls of the jobs, without that of the sandbox which tries the runtime. */
  const creates = (profile = "shell"): EngineCall[] =>
    engine.calls.filter(
      ({ path, body }) =>
        path === "/containers/create" && body.includes(`"dev.sallyport.profile":"${profile}"`),
    );

  test("no call but those few: no archive, exec, commit, restart, update, copy or volume", () => {
    assert.deepEqual(
      engine.calls.map(asText).filter((call) => !allowed.some((pattern) => pattern.test(call))),
      [],
    );
  });

  test("every container is attached, then started, each once; after that it is only looked at and removed", () => {
    const ids = new Set(engine.calls.flatMap(({ path }) => new RegExp(id).exec(path) ?? []));
    assert.equal(ids.size, creates().length + creates("probe").length);
    for (const container of ids) {
      const steps = engine.calls
        .filter(({ path }) => path.includes(container))
        .map(({ method, path }) => `${method} ${path.split("/")[3] ?? ""}`);
      assert.deepEqual(steps.slice(0, 2), ["POST attach", "POST start"]);
      for (const step of steps.slice(2)) assert.match(step, /^(GET stats|GET json|DELETE )$/);
    }
  });

  test("the create call is the golden one, byte for byte, but for labels, image, filter text and the host's processors", () => {
    const [call] = creates();
    const body = JSON.parse(call?.body ?? "") as Body;
    const { HostConfig } = body;
    const [noNew, seccomp] = HostConfig.SecurityOpt as [string, string];
    assert.match(body.Image ?? "", /^sha256:[0-9a-f]{64}$/, "an image by its digest");
    assert.equal(
      (JSON.parse(seccomp.replace("seccomp=", "")) as { defaultAction: string }).defaultAction,
      "SCMP_ACT_ERRNO",
    );
    body.Image = "IMAGE";
    HostConfig.SecurityOpt = [noNew, "seccomp=FILTER"];
    HostConfig.MaskedPaths = (HostConfig.MaskedPaths as string[]).filter(
      (path) => !path.includes("thermal_throttle"),
    );
    body.Labels = Object.fromEntries(Object.keys(body.Labels ?? {}).map((name) => [name, "VALUE"]));
    const golden = readFileSync(new URL("create-body.json", import.meta.url), "utf8");
    assert.equal(JSON.stringify(body), JSON.stringify(JSON.parse(golden)));
  });

  test("two jobs of one profile are the same create call, and nothing of a job is in any call", () => {
    assert.equal(creates().length, 4);
    assert.equal(new Set(creates().map(fixedPart)).size, 1);
    assert.ok(!JSON.stringify(engine.calls).includes(secret));
    assert.doesNotMatch(JSON.stringify(engine.calls), /LD_PRELOAD|DOCKER_HOST|HTTP_PROXY/);
  });

  test("control: the recording does see an archive call and a start", async () => {
    await using other = await RecordingEngine.start();
    const path = `/v1.41/containers/${"0".repeat(64)}/archive?path=/`;
    const { request } = await import("node:http");
    await new Promise<void>((resolve, reject) => {
      const call = request(
        { socketPath: other.address.slice("unix://".length), method: "PUT", path },
        (reply) => {
          reply.resume();
          reply.on("end", resolve);
        },
      );
      call.on("error", reject);
      call.end();
    });
    assert.deepEqual(
      other.calls.map(asText).filter((call) => !allowed.some((pattern) => pattern.test(call))),
      [`PUT /containers/${"0".repeat(64)}/archive`],
    );
  });
});

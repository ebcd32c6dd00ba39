import { z } from "zod";
import { SallyportError } from "../../errors.ts";
import type { Artifact } from "../../protocol/index.ts";
import { findJob, type Api, type ApiContext } from "./context.ts";
import { bodyOf } from "./streaming.ts";
import { bytesReply, errorSchema } from "./views.ts";

/** bytes read from the store at once */
const stepBytes = 256 * 2 ** 10;

export function artifactRoutes(app: Api, context: ApiContext): void {
  app.get(
    "/v1/jobs/:id/artifacts/*",
    {
      config: { access: ["jobs"] },
      schema: {
        summary: "A file the job left behind",
        params: z.strictObject({ id: z.string(), "*": z.string() }),
        response: { 200: bytesReply, default: errorSchema },
      },
    },
    async (request, reply) => {
      const job = await findJob(context, request, request.params.id);
      const path = request.params["*"];
      const artifact = await context.hub.store.jobs.artifact(job.id, path);
      if (artifact === null) throw artifactUnknown(path, job.result?.artifacts ?? []);
      void reply.type("application/octet-stream").header("content-length", artifact.size);
      if (request.method === "HEAD") return reply.send();
      const live = context.hub.live.open(job.id, "reader");
      return reply.send(bodyOf(inSteps(artifact), live));
    },
  );
}

function artifactUnknown(path: string, told: readonly Artifact[]): SallyportError {
  const why = told.find((entry) => entry.path === path)?.error;
  const name = path.slice(0, 200);
  const reason = why === undefined ? "" : `: ${why.message}`;
  return new SallyportError("artifact_unknown", `the job left no ${JSON.stringify(name)}${reason}`, {
    details: {
      path: name,
      known: told.filter(({ error }) => error === undefined).map((entry) => entry.path),
      ...(why !== undefined && { reason: why }),
    },
  });
}

/** Throws `artifact_unknown` when it is removed while it is read. */
async function* inSteps(artifact: {
  size: number;
  read(from: number, to: number): Promise<Uint8Array>;
}): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < artifact.size; at += stepBytes) {
    const to = Math.min(at + stepBytes, artifact.size);
    const bytes = await artifact.read(at, to);
    // a proper end would leave the client waiting for the rest, on a connection that is used again
    if (bytes.length < to - at) throw new SallyportError("artifact_unknown", "the job was removed meanwhile");
    yield bytes;
  }
}

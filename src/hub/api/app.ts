/** The HTTP side of the hub: one place for what every request passes, one file per resource for the rest. */
import { randomUUID } from "node:crypto";
import swagger from "@fastify/swagger";
import fastify, { type FastifyRequest, type FastifyServerFactory } from "fastify";
import { jsonSchemaTransform } from "fastify-type-provider-zod";
import type { ZodType } from "zod";
import { SallyportError } from "../../errors.ts";
import { issuesToError } from "../../protocol/index.ts";
import { authenticate, requireScope } from "../auth/gate.ts";
import { checkNames } from "../auth/origin.ts";
import { artifactRoutes } from "./artifacts.ts";
import { Bodies, type BodyLimits } from "./bodies.ts";
import type { Api, ApiContext } from "./context.ts";
import { sendError } from "./errors.ts";
import { eventRoutes } from "./events.ts";
import { healthRoutes } from "./health.ts";
import { jobRoutes } from "./jobs.ts";
import { takeOnlyJson } from "./json.ts";
import { answerEveryMethod } from "./methods.ts";
import { neighbourRoutes } from "./neighbour.ts";
import { openapiRoutes } from "./openapi.ts";
import { outputRoutes } from "./output.ts";
import { profileRoutes } from "./profiles.ts";
import { tunnelRoutes } from "./routes.ts";
import { stdinRoutes } from "./stdin.ts";
import { submitRoutes } from "./submit.ts";
import { workerRoutes } from "./workers.ts";

/** bytes of a JSON body: contents of files grow by a third in base64 */
const bodyBytes = 96 * 2 ** 20;

const bodyLimits: BodyLimits = { mostBytes: bodyBytes, tenantBytes: 2 * bodyBytes, silenceMs: 60_000 };

export interface ApiDeps {
  context: ApiContext;
  serverFactory: FastifyServerFactory;
}

export async function createApi({ context, serverFactory }: ApiDeps): Promise<Api> {
  const { log } = context.hub;
  const app: Api = fastify({
    serverFactory,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: 4_096 },
    requestIdHeader: false,
    genReqId: (request) => requestId(request.headers["x-request-id"]),
    frameworkErrors: (error, request, reply) => {
      void reply.header("x-request-id", request.id);
      sendError(log, strangerError(context, request) ?? error, request, reply);
    },
  });
  app.decorateRequest("identity", null);
  app.decorateRequest("bodyDigest", "");
  app.decorateRequest("reply", null);
  app.decorateRequest("heldBody", null);
  app.setValidatorCompiler<ZodType>(({ schema, httpPart }) => validator(schema, httpPart ?? "request"));
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.setErrorHandler((error, request, reply) => sendError(log, error, request, reply));
  app.setNotFoundHandler((request, reply) => sendError(log, pathUnknown(request), request, reply));
  app.addHook("onRequest", async (request, reply) => {
    void reply.header("x-request-id", request.id);
    request.reply = reply.raw;
    await letIn(context, request);
  });
  takeOnlyJson(app, new Bodies(bodyLimits));
  const refuseOtherMethods = answerEveryMethod(app);
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "Sallyport hub", version: "1" },
      components: { securitySchemes: { key: { type: "http", scheme: "bearer" } } },
      security: [{ key: [] }],
    },
    transform: jsonSchemaTransform,
  });
  for (const routes of resources) {
    await app.register((scope, _options, done) => {
      routes(scope.withTypeProvider(), context);
      done();
    });
  }
  refuseOtherMethods();
  await app.ready();
  return app;
}

const resources: readonly ((app: Api, context: ApiContext) => void)[] = [
  submitRoutes,
  jobRoutes,
  eventRoutes,
  outputRoutes,
  stdinRoutes,
  artifactRoutes,
  workerRoutes,
  profileRoutes,
  tunnelRoutes,
  neighbourRoutes,
  healthRoutes,
  openapiRoutes,
];

/** Host and Origin first, so that a page or a rebound name learns nothing, not even whether a key is right. */
async function letIn(context: ApiContext, request: FastifyRequest): Promise<void> {
  checkNames({ host: request.headers.host, origin: request.headers.origin }, context.names);
  const access = request.routeOptions.config?.access;
  if (access === "open") return;
  if (access === "neighbour") return context.hub.neighbours.admit(request.headers.authorization);
  request.identity = await authenticate(context.keys, request.headers);
  if (access !== undefined) requireScope(request.identity, ...access);
}

/** What is wrong with the names of a request whose path cannot be read, which passes no hook. */
function strangerError({ names }: ApiContext, { headers }: FastifyRequest): unknown {
  try {
    checkNames({ host: headers.host, origin: headers.origin }, names);
    return undefined;
  } catch (error) {
    return error;
  }
}

/** The id a caller chose, when it is a sane token. */
function requestId(wanted: string | string[] | undefined): string {
  return typeof wanted === "string" && /^[A-Za-z0-9._-]{1,64}$/.test(wanted) ? wanted : randomUUID();
}

function pathUnknown(request: FastifyRequest): SallyportError {
  const path = request.url.split("?", 1)[0] ?? "";
  return new SallyportError("path_unknown", `there is no ${request.method} ${path.slice(0, 200)}`, {
    details: { fix: "see /openapi.json" },
  });
}

function validator(schema: ZodType, httpPart: string): (data: unknown) => { value?: unknown; error?: Error } {
  return (data) => {
    const parsed = schema.safeParse(data);
    if (parsed.success) return { value: parsed.data };
    return { error: issuesToError(parsed.error, "request_invalid", httpPart) };
  };
}

/** What a path makes of methods it has no work for. https://www.rfc-editor.org/rfc/rfc9110#section-9.1 */
import type { HTTPMethods, RouteOptions } from "fastify";
import { SallyportError } from "../../errors.ts";
import type { Api } from "./context.ts";

type Access = RouteOptions["config"];
interface Path {
  readonly methods: Set<HTTPMethods>;
  /** whoever may not call it learns nothing of its methods either */
  readonly access: Access;
}

/**
 * HEAD goes wherever GET does, and is answered alike; Node keeps the body back. Call it before the first route is there, and what it
 * returns behind the last: any other method is then refused with `method_unsupported`, and `allow` says what goes.
 */
export function answerEveryMethod(app: Api): () => void {
  const paths = new Map<string, Path>();
  app.addHook("onRoute", function (route) {
    const path = paths.get(route.url) ?? { methods: new Set(), access: route.config };
    paths.set(route.url, path);
    for (const method of [route.method].flat()) path.methods.add(method);
    if (route.method === "GET") this.route({ ...route, method: "HEAD" });
  });
  return () => {
    for (const [url, path] of paths) refuseOthers(app, url, path);
  };
}

/** Before a body is looked at: nobody wants it. */
function refuseOthers(app: Api, url: string, { methods, access }: Path): void {
  const allow = [...methods].sort().join(", ");
  app.route({
    method: app.supportedMethods.filter((method) => !methods.has(method)),
    url,
    schema: { hide: true },
    ...(access && { config: access }),
    onRequest: async (request, reply) => {
      void reply.header("allow", allow);
      throw new SallyportError("method_unsupported", `this path takes no ${request.method}`, {
        details: { method: request.method, fix: `use one of ${allow}` },
      });
    },
    handler: async () => undefined,
  });
}

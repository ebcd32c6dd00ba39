import { z } from "zod";
import type { Api } from "./context.ts";

export function openapiRoutes(app: Api): void {
  app.get(
    "/openapi.json",
    {
      config: { access: "open" },
      schema: {
        summary: "This description",
        security: [],
        response: { 200: z.record(z.string(), z.unknown()) },
      },
    },
    () => app.swagger() as unknown as Record<string, unknown>,
  );
}
